from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "swhttp/reactor/logring.h" nogil:
    enum:
        SW_LOG_IDLE
        SW_LOG_LINGERS
        SW_LOG_WAKE
    ctypedef struct sw_log_ring:
        unsigned char *data
        uint64_t size
    ctypedef struct sw_log_bell:
        int eventfd
    void sw_log_bell_init(sw_log_bell *bell, int eventfd)
    uint64_t sw_log_tail(sw_log_ring *ring)
    uint64_t sw_log_rewind(sw_log_ring *ring, uint64_t own)
    void sw_log_publish(sw_log_ring *ring, sw_log_bell *bell, uint64_t own)
    uint64_t sw_log_head(sw_log_ring *ring)
    uint64_t sw_log_place(sw_log_ring *ring, uint64_t tail)
    void sw_log_release(sw_log_ring *ring, uint64_t tail)
    void sw_log_sleep_begin(sw_log_bell *bell, uint32_t state)
    void sw_log_sleep_end(sw_log_bell *bell)
    uint64_t sw_log_stop_by_ns(sw_log_bell *bell)
    int sw_log_take_fd(sw_log_bell *bell)
    bint sw_log_called(sw_log_bell *bell)
    int sw_log_say_fd(sw_log_bell *bell, int fd)
    void sw_log_say_stop(sw_log_bell *bell, uint64_t by_ns)

cdef extern from "swhttp/reactor/logline.h" nogil:
    enum:
        SW_LOG_SLACK
        SW_LOG_PARTS
        SW_LOG_NAMES
        SW_LOG_LONGEST_NAME
        SW_LOG_TIME_BYTES
        SW_LOG_ANSWERS
        LOG_TEXT
        LOG_CLIENT
        LOG_LOCAL
        LOG_REQUEST
        LOG_METHOD
        LOG_PATH
        LOG_QUERY
        LOG_BARE_QUERY
        LOG_PROTOCOL
        LOG_REQUEST_FIELD
        LOG_RESPONSE_FIELD
        LOG_HOST
        LOG_TIME
        LOG_TIME_UTC
        LOG_SECONDS
        LOG_MILLISECONDS
        LOG_MICROSECONDS
        LOG_MILLI_PART
        LOG_MICRO_PART
        LOG_STATUS
        LOG_BYTES
        LOG_BYTES_OR_DASH
        LOG_WIRE_BYTES
        LOG_DURATION_US
        LOG_DURATION_MS
        LOG_DURATION_S
        LOG_DURATION_DECIMAL
        LOG_PID
        LOG_KEPT_ALIVE
        LOG_CONNECTION
        LOG_LOCAL_PORT
        LOG_REMOTE_PORT
    ctypedef struct sw_log_part:
        uint8_t kind
        uint8_t index
        uint8_t ends
        uint32_t length
        const unsigned char *text
    ctypedef struct sw_log_name:
        const unsigned char *text
        uint32_t length
    ctypedef struct sw_log_found:
        const unsigned char *value
        uint32_t length
        uint8_t found
        uint8_t again
    ctypedef struct sw_log_time:
        int64_t second
        const char *format
        uint32_t length
        uint8_t utc
    ctypedef struct sw_log_answer:
        uint64_t since_ns
        uint64_t body_bytes
        uint64_t wire_bytes
        unsigned char *fields
        uint32_t row
        uint32_t flags
        uint32_t served
        uint32_t block
        int pid
        uint16_t status
        uint8_t block_class
    ctypedef struct sw_access_log:
        sw_log_ring *ring
        sw_log_bell *bell
        uint64_t own
        uint64_t at
        uint64_t published
        uint64_t peer
        uint32_t line_bytes
        uint32_t field_bytes
        bint json
        int part_count
        int name_count
        int out_count
        int time_count
        uint64_t name_lengths
        int64_t clock_s
        int64_t offset_ns
        sw_log_part parts[65]
        sw_log_name names[16]
        sw_log_name outs[16]
        sw_log_time times[16]
        sw_log_answer answers[64]
    unsigned char *sw_log_escape(unsigned char *to, const unsigned char *limit, const unsigned char *text,
                                 size_t length, bint json, bint *full)
    void sw_log_prefetch(const void *block, const void *row)
    unsigned char *sw_log_text(unsigned char *to, const unsigned char *text, uint32_t length)
    unsigned char *sw_log_number(unsigned char *to, uint64_t number)
    unsigned char *sw_log_digits(unsigned char *to, uint32_t number, int count)
    unsigned char *sw_log_time_text(unsigned char *to, sw_log_time *time, int64_t second)
    int64_t sw_log_offset_ns()
    bint sw_log_is_name(const unsigned char *text, const sw_log_name *name)
    const unsigned char *sw_log_keep(sw_access_log *log, const char *text, size_t length)
