from cpython.ref cimport PyObject


cdef extern from "adapters/sharing.h":
    Py_ssize_t sw_references(PyObject *object)
    bint sw_unshared(PyObject *method)
