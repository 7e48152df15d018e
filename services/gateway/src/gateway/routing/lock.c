/* The lock under which the workers of a gateway count: see lock.py, whose class this extension module
 * takes the place of.
 *
 * The lock is a number of 64 bits in memory that the processes share: 0, or the number of the process
 * that has it. Taking it is one compare-and-exchange; a process that finds it taken is told so, and
 * decides itself how long to try again. A process that ends with the lock leaves its number there,
 * which `clear` takes out.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

typedef struct {
    PyObject_HEAD
    Py_buffer memory;
    int64_t *word;
    int64_t owner;
} WorkersLock;

static PyObject *lock_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(named)) {
    int file;
    long long owner;
    Py_ssize_t place;
    PyObject *memory;
    if (!PyArg_ParseTuple(args, "iOnL", &file, &memory, &place, &owner)) return NULL;
    WorkersLock *self = (WorkersLock *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    if (PyObject_GetBuffer(memory, &self->memory, PyBUF_WRITABLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    if (owner <= 0 || place < 0 || place >= self->memory.len / (Py_ssize_t)sizeof(int64_t)) {
        PyErr_SetString(PyExc_ValueError, "the lock has no place in the memory, or no owner");
        Py_DECREF(self);
        return NULL;
    }
    self->word = (int64_t *)self->memory.buf + place;
    self->owner = owner;
    return (PyObject *)self;
}

static void lock_dealloc(WorkersLock *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&self->memory); /* does nothing where there is none */
    type->tp_free(self);
    Py_DECREF(type);
}

static int exchanged(WorkersLock *self, int64_t before, int64_t after) {
    return __atomic_compare_exchange_n(self->word, &before, after, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static PyObject *lock_acquire(WorkersLock *self, PyObject *Py_UNUSED(none)) {
    return PyBool_FromLong(exchanged(self, 0, self->owner));
}

static PyObject *lock_release(WorkersLock *self, PyObject *Py_UNUSED(none)) {
    exchanged(self, self->owner, 0);
    Py_RETURN_NONE;
}

static PyObject *lock_clear(WorkersLock *self, PyObject *owner) {
    long long number = PyLong_AsLongLong(owner);
    if (number == -1 && PyErr_Occurred()) return NULL;
    exchanged(self, number, 0);
    Py_RETURN_NONE;
}

static PyMethodDef lock_methods[] = {
    {"acquire", (PyCFunction)lock_acquire, METH_NOARGS, "Take the lock; False if another has it."},
    {"release", (PyCFunction)lock_release, METH_NOARGS, "Let another process have the lock."},
    {"clear", (PyCFunction)lock_clear, METH_O, "Release the lock of a process that has ended."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot lock_slots[] = {
    {Py_tp_doc, "A lock of several processes."},
    {Py_tp_new, lock_new},
    {Py_tp_dealloc, lock_dealloc},
    {Py_tp_methods, lock_methods},
    {0, NULL},
};

static PyType_Spec lock_spec = {
    .name = "gateway.routing.lock.WorkersLock",
    .basicsize = sizeof(WorkersLock),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lock_slots,
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "lock", .m_doc = "The compiled form of lock.py.", .m_size = -1,
};

PyMODINIT_FUNC PyInit_lock(void) {
    PyObject *module = PyModule_Create(&module_definition);
    PyObject *type = PyType_FromSpec(&lock_spec);
    if (module == NULL || type == NULL || PyModule_AddObjectRef(module, "WorkersLock", type) < 0)
        Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
