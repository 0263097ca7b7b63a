from cpython.ref cimport PyObject


cdef extern from "adapters/sharing.h":
    enum:
        SW_KEPT_REFERENCES
    Py_ssize_t sw_references(PyObject *object)
    bint sw_unshared(PyObject *method)
