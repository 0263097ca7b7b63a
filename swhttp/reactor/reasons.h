/* Why the master itself answers a request: status, phrase and the one slug that the log, the metric, the body and
 * the test use. One row a reason; nothing else in the code spells a slug, but handshake.py those of its verdicts.
 */
#ifndef SWHTTP_REASONS_H
#define SWHTTP_REASONS_H

#define SW_REASONS(X)                                                                            \
    X(BAD_REQUEST_LINE, 400, "Bad Request", "bad-request-line")                                   \
    X(BAD_SYNTAX, 400, "Bad Request", "bad-syntax")                                               \
    X(BAD_PROXY_HEADER, 400, "Bad Request", "bad-proxy-header")                                   \
    X(HTTP_TO_TLS, 400, "Bad Request", "http-to-tls-port")                                         \
    X(BARE_CR, 400, "Bad Request", "bare-cr")                                                     \
    X(BARE_LF, 400, "Bad Request", "bare-lf")                                                     \
    X(FOLDED_FIELD, 400, "Bad Request", "folded-field")                                           \
    X(BAD_FIELD_VALUE, 400, "Bad Request", "bad-field-value")                                     \
    X(BAD_TARGET, 400, "Bad Request", "bad-target")                                               \
    X(MISSING_HOST, 400, "Bad Request", "missing-host")                                           \
    X(MANY_HOSTS, 400, "Bad Request", "many-hosts")                                               \
    X(BAD_HOST, 400, "Bad Request", "bad-host")                                                   \
    X(BAD_CONTENT_LENGTH, 400, "Bad Request", "bad-content-length")                               \
    X(LENGTH_AND_ENCODING, 400, "Bad Request", "length-and-encoding")                             \
    X(BAD_TRANSFER_ENCODING, 400, "Bad Request", "bad-transfer-encoding")                         \
    X(ENCODING_IN_HTTP10, 400, "Bad Request", "encoding-in-http10")                               \
    X(BAD_CHUNK, 400, "Bad Request", "bad-chunk")                                                 \
    X(BAD_TRAILER, 400, "Bad Request", "bad-trailer")                                             \
    X(UPGRADE_WITH_BODY, 400, "Bad Request", "upgrade-with-body")                                 \
    X(EMPTY_LINES, 400, "Bad Request", "empty-lines")                                             \
    X(WS_BAD_KEY, 400, "Bad Request", "ws-bad-key")                                               \
    X(WS_MANY_KEYS, 400, "Bad Request", "ws-many-keys")                                           \
    X(WS_BAD_SUBPROTOCOL, 400, "Bad Request", "ws-bad-subprotocol")                               \
    X(WS_BAD_EXTENSION, 400, "Bad Request", "ws-bad-extension")                                   \
    X(WS_BAD_HANDSHAKE, 400, "Bad Request", "ws-bad-handshake")                                   \
    X(WS_NOT_GET, 400, "Bad Request", "ws-not-get")                                               \
    X(CONNECT_METHOD, 405, "Method Not Allowed", "connect-method")                                \
    X(FILE_NOT_FOUND, 404, "Not Found", "file-not-found")                                         \
    X(FILE_METHOD, 405, "Method Not Allowed", "file-method")                                      \
    X(FILE_CODING, 406, "Not Acceptable", "no-acceptable-coding")                                 \
    X(HEAD_TIMEOUT, 408, "Request Timeout", "head-timeout")                                       \
    X(BODY_TIMEOUT, 408, "Request Timeout", "body-timeout")                                       \
    X(FILE_CONDITION, 412, "Precondition Failed", "precondition-failed")                          \
    X(BODY_TOO_LARGE, 413, "Content Too Large", "body-too-large")                                 \
    X(LINE_TOO_LONG, 414, "URI Too Long", "request-line-too-long")                                \
    X(FILE_RANGE, 416, "Range Not Satisfiable", "range-not-satisfiable")                          \
    X(UNKNOWN_EXPECTATION, 417, "Expectation Failed", "unknown-expectation")                      \
    X(WS_BAD_VERSION, 426, "Upgrade Required", "ws-bad-version")                                  \
    X(FIELD_TOO_LONG, 431, "Request Header Fields Too Large", "field-too-long")                   \
    X(MANY_FIELDS, 431, "Request Header Fields Too Large", "too-many-fields")                     \
    X(HEAD_TOO_LARGE, 431, "Request Header Fields Too Large", "head-too-large")                   \
    X(TRAILERS_TOO_LARGE, 431, "Request Header Fields Too Large", "trailers-too-large")           \
    X(INTERNAL, 500, "Internal Server Error", "internal-error")                                   \
    X(UNKNOWN_METHOD, 501, "Not Implemented", "unknown-method")                                   \
    X(UNKNOWN_ENCODING, 501, "Not Implemented", "unknown-transfer-encoding")                      \
    X(WORKER_LOST, 502, "Bad Gateway", "worker-lost")                                             \
    X(QUARANTINED, 502, "Bad Gateway", "quarantined")                                             \
    X(QUEUE_FULL, 503, "Service Unavailable", "queue-full")                                       \
    X(QUEUE_TIMEOUT, 503, "Service Unavailable", "queue-timeout")                                 \
    X(MANY_SOCKETS, 503, "Service Unavailable", "too-many-websockets")                            \
    X(BLOCKS_FULL, 503, "Service Unavailable", "request-blocks-full")                             \
    X(FILE_LOST, 503, "Service Unavailable", "response-file-lost")                                \
    X(FILE_NOT_OPENED, 503, "Service Unavailable", "file-not-opened")                             \
    X(IO_QUEUE_FULL, 503, "Service Unavailable", "io-queue-full")                                 \
    X(SPOOL_FAILED, 503, "Service Unavailable", "body-spool-failed")                              \
    X(REQUEST_TIMEOUT, 504, "Gateway Timeout", "request-timeout")                                  \
    X(BAD_VERSION, 505, "HTTP Version Not Supported", "unsupported-version")

typedef struct {
    int status;
    const char *phrase;
    const char *slug;
} sw_reason;

enum {
    REASON_NONE,
#define SW_ID(id, status, phrase, slug) REASON_##id,
    SW_REASONS(SW_ID)
#undef SW_ID
    REASON_COUNT
};

static const sw_reason SW_REASON_TABLE[REASON_COUNT] = {
    {0, "", ""},
#define SW_ROW(id, status, phrase, slug) {status, phrase, slug},
    SW_REASONS(SW_ROW)
#undef SW_ROW
};

#endif
