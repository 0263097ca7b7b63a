cdef extern from "swhttp/ipc/spin.h" nogil:
    enum:
        SW_SPIN_LOOKS
    void sw_spin_pause()
    void sw_spin_yield()
