/* Does anybody else still hold an object that we would use again? Asked by pointer: for an `object` argument that is
 * an attribute, Cython takes one reference more while it asks. */
#ifndef SWHTTP_SHARING_H
#define SWHTTP_SHARING_H

#include <Python.h>

/* To an exchange that the app has not kept: its two methods and whoever settles it. */
#define SW_KEPT_REFERENCES 3

static inline Py_ssize_t sw_references(PyObject *object)
{
    return Py_REFCNT(object);
}

/* Is a bound method ours alone, without even a weak reference to it? */
static inline int sw_unshared(PyObject *method)
{
    return Py_REFCNT(method) == 1 && PyCFunction_Check(method)
           && ((PyCFunctionObject *)method)->m_weakreflist == NULL;
}

#endif
