/* libFuzzer with Python in it: runs the target that it is called as (tests/fuzz/NAME.py, its `one(bytes)`) in this
 * process, where the compiled core was built for it (SWHTTP_SANITIZE=fuzzer,address,undefined). The program is linked
 * with the fuzzer and the sanitizers, and the core's modules find them there; Python itself is the one that there is.
 *
 * A target that names TRACED parts of paths is pure Python there: each line of those files that is run counts as
 * covered.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <frameobject.h>
#include <signal.h>
#include <string.h>

#define COUNTERS 16384

__attribute__((section("__libfuzzer_extra_counters"))) static unsigned char lines[COUNTERS];
static PyObject *target, *traced;

static int trace(PyObject *Py_UNUSED(none), PyFrameObject *frame, int what, PyObject *Py_UNUSED(arg))
{
    PyCodeObject *code = PyFrame_GetCode(frame);
    const char *path = PyUnicode_AsUTF8(code->co_filename);
    size_t place = 0;
    Py_ssize_t i;
    if (what == PyTrace_LINE && path != NULL)
        for (i = 0; i < PyTuple_GET_SIZE(traced); i++)
            if (strstr(path, PyUnicode_AsUTF8(PyTuple_GET_ITEM(traced, i))) != NULL) {
                for (; *path != 0; path++)
                    place = place * 31 + (unsigned char)*path;
                lines[(place + (size_t)PyFrame_GetLineNumber(frame)) % COUNTERS]++;
                break;
            }
    Py_DECREF(code);
    return 0;
}

static void give_up(const char *why)
{
    fprintf(stderr, "%s\n", why);
    PyErr_Print();
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char module[256];
    const char *name = strrchr((*argv)[0], '/');
    PyObject *found;
    PyConfig config;
    (void)argc;
    signal(SIGPIPE, SIG_IGN); /* as Python itself does, where it has the signals */
    snprintf(module, sizeof module, "tests.fuzz.%s", name != NULL ? name + 1 : (*argv)[0]);
    PyConfig_InitPythonConfig(&config);
    config.install_signal_handlers = 0;
    config.write_bytecode = 0;
    if (PyStatus_Exception(PyConfig_SetBytesString(&config, &config.executable, SWHTTP_PYTHON))
        || PyStatus_Exception(Py_InitializeFromConfig(&config)))
        give_up("no Python");
    if (PyRun_SimpleString("import sys; sys.path.insert(0, '.')") != 0)
        give_up("no path");
    found = PyImport_ImportModule(module);
    if (found == NULL || (target = PyObject_GetAttrString(found, "one")) == NULL)
        give_up(module);
    traced = PyObject_GetAttrString(found, "TRACED");
    PyErr_Clear();
    return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size), *result;
    if (bytes == NULL)
        give_up("no memory");
    if (traced != NULL)
        PyEval_SetTrace(trace, NULL);
    result = PyObject_CallOneArg(target, bytes);
    PyEval_SetTrace(NULL, NULL);
    if (result == NULL)
        give_up("a finding:");
    Py_DECREF(result);
    Py_DECREF(bytes);
    return 0;
}
