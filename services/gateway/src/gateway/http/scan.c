/* The scan of an ordinary head: see scan.py, whose class this extension module takes the place of.
 *
 * A scan only reads, and accepts less than llhttp does: every byte is of a class that HTTP names
 * without doubt, and each line has the one form `Name: value` in which lines are passed on. Whatever
 * else comes, the scan returns None, and has changed nothing.
 *
 * Bounds: CPython keeps a NUL behind the bytes of every `bytes` object. No class of bytes here has
 * the NUL, so a loop over one class stops there, and a byte is read only after the byte before it
 * was found to be no NUL. The eight bytes at a time of `skip_value` are counted.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define LONGEST_NAME 32 /* bytes of a name that is handled or refused */
#define MOST_NAMES 64   /* of them: the names that a head has had are bits of one word */
#define MOST_FIELDS 256
#define MOST_DIGITS 18 /* of a length: as many fit into 64 bits */

enum kind { HANDLED, REFUSED, CONNECTION, LENGTH };

typedef struct {
    PyObject *bytes; /* in lower case */
    enum kind kind;
} Name;

typedef struct {
    PyObject_HEAD
    Name names[MOST_NAMES];               /* by length */
    uint8_t first_of[LONGEST_NAME + 2];   /* index of the first name of each length */
    Py_ssize_t most_fields, most_bytes;
} HeadScan;

typedef struct {
    const char *from, *to;
} Run;

/* The fields of a head. */
typedef struct {
    PyObject *lines, *handled; /* a block of bytes; a dict */
    Py_ssize_t length;         /* of the body; -1 where no field tells */
    const char *end;           /* of the head */
} Fields;

static const char *const METHODS[] = {"GET", "POST", "PUT", "HEAD", "PATCH", "DELETE", "OPTIONS"};
#define METHOD_COUNT (sizeof METHODS / sizeof *METHODS)
static PyObject *method_names[METHOD_COUNT];

/* The bytes of names, each in lower case, and the bytes of targets; 0 for all others. */
static unsigned char lower[256];
static unsigned char in_target[256];

static void fill_classes(void) {
    for (int c = '0'; c <= '9'; c++) lower[c] = in_target[c] = (unsigned char)c;
    for (int c = 'a'; c <= 'z'; c++) {
        lower[c] = lower[c - 32] = (unsigned char)c;
        in_target[c] = in_target[c - 32] = 1;
    }
    lower['-'] = '-';
    lower['_'] = '_';
    for (const char *c = "-._~!$&'()*+,;=:@/?%"; *c; c++) in_target[(unsigned char)*c] = 1;
}

static inline int is_text(unsigned char c) { return c >= 0x20 && c < 0x7f; }

/* Return the end of the printable ASCII bytes that begin at `p`; `end` is that of all bytes. */
static const char *skip_value(const char *p, const char *end) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        /* A byte below 0x20, above 0x7f, or that is 0x7f: the next loop finds out where. */
        if (((word - 0x20 * ones) | word | (word + ones)) & tops) break;
        p += 8;
    }
    while (is_text((unsigned char)*p)) p++;
    return p;
}

/* Return the digits' value, -1 if they are not 1 to 18 digits. */
static Py_ssize_t read_length(const char *p, const char *end) {
    if (end - p < 1 || end - p > MOST_DIGITS) return -1;
    long long value = 0;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9') return -1;
        value = value * 10 + (*p - '0');
    }
    return value <= PY_SSIZE_T_MAX ? (Py_ssize_t)value : -1;
}

static int is_keep_alive(const char *p, const char *end) {
    return end - p == 10 && (!memcmp(p, "keep-alive", 10) || !memcmp(p, "Keep-Alive", 10));
}

/* Return the index of a name in lower case, -1 if it is neither handled nor refused. */
static int find_name(const HeadScan *self, const char *name, Py_ssize_t size) {
    if (size > LONGEST_NAME) return -1;
    for (int i = self->first_of[size]; i < self->first_of[size + 1]; i++)
        if (!memcmp(PyBytes_AS_STRING(self->names[i].bytes), name, (size_t)size)) return i;
    return -1;
}

static PyObject *join(const Run *runs, int count) {
    Py_ssize_t size = 0;
    for (int i = 0; i < count; i++) size += runs[i].to - runs[i].from;
    PyObject *joined = PyBytes_FromStringAndSize(NULL, size);
    if (joined == NULL) return NULL;
    char *to = PyBytes_AS_STRING(joined);
    for (int i = 0; i < count; i++) {
        size_t part = (size_t)(runs[i].to - runs[i].from);
        memcpy(to, runs[i].from, part);
        to += part;
    }
    return joined;
}

/* Read the fields that begin at `p`, and the empty line behind them.
 *
 * Returns 1 if all are ordinary, and the caller owns two references; 0 if not; -1 after an error. */
static int read_fields(const HeadScan *self, const char *begin, const char *p, const char *end,
                       Fields *fields) {
    Run runs[MOST_NAMES + 2]; /* lines that pass; between two runs is a handled field */
    int run_count = 0, field_count = 0, known = 0;
    uint64_t seen = 0;
    fields->length = -1;
    fields->lines = NULL;
    fields->handled = PyDict_New();
    if (fields->handled == NULL) return -1;
    while (*p != '\r') {
        const char *line = p;
        char name[LONGEST_NAME];
        Py_ssize_t size = 0;
        for (unsigned char c; (c = lower[(unsigned char)*p]) != 0; p++, size++)
            if (size < LONGEST_NAME) name[size] = (char)c;
        if (size == 0 || p[0] != ':' || p[1] != ' ') goto doubtful;
        const char *value = p + 2;
        if (!is_text((unsigned char)*value) || *value == ' ') goto doubtful;
        p = skip_value(value, end);
        if (p[0] != '\r' || p[1] != '\n' || p[-1] == ' ') goto doubtful;
        const char *value_end = p;
        p += 2;
        if (++field_count > self->most_fields || p - begin > self->most_bytes) goto doubtful;
        int index = find_name(self, name, size);
        if (index < 0) {
            if (run_count > 0 && runs[run_count - 1].to == line)
                runs[run_count - 1].to = p;
            else
                runs[run_count++] = (Run){line, p};
            continue;
        }
        if (seen & ((uint64_t)1 << index)) goto doubtful;
        seen |= (uint64_t)1 << index;
        switch (self->names[index].kind) {
        case REFUSED:
            goto doubtful;
        case CONNECTION:
            if (!is_keep_alive(value, value_end)) goto doubtful;
            break;
        case LENGTH:
            fields->length = read_length(value, value_end);
            if (fields->length < 0) goto doubtful;
            break;
        case HANDLED:
            break;
        }
        PyObject *copy = PyBytes_FromStringAndSize(value, value_end - value);
        if (copy == NULL) goto failed;
        known = PyDict_SetItem(fields->handled, self->names[index].bytes, copy);
        Py_DECREF(copy);
        if (known < 0) goto failed;
    }
    if (p[1] != '\n' || p + 2 - begin > self->most_bytes) goto doubtful;
    fields->end = p + 2;
    fields->lines = join(runs, run_count);
    if (fields->lines == NULL) goto failed;
    return 1;
doubtful:
    Py_CLEAR(fields->handled);
    return 0;
failed:
    Py_CLEAR(fields->handled);
    return -1;
}

static int bounds(PyObject *data, const char **begin, const char **end) {
    if (!PyBytes_Check(data)) {
        PyErr_Format(PyExc_TypeError, "a scan reads bytes, not %s", Py_TYPE(data)->tp_name);
        return -1;
    }
    *begin = PyBytes_AS_STRING(data);
    *end = *begin + PyBytes_GET_SIZE(data);
    return 0;
}

static PyObject *scan_request(HeadScan *self, PyObject *data) {
    const char *begin, *end;
    if (bounds(data, &begin, &end) < 0) return NULL;
    const char *p = begin;
    while (*p >= 'A' && *p <= 'Z') p++;
    PyObject *method = NULL;
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if ((size_t)(p - begin) == strlen(METHODS[i]) && !memcmp(begin, METHODS[i], (size_t)(p - begin)))
            method = method_names[i];
    if (method == NULL || p[0] != ' ' || p[1] != '/') Py_RETURN_NONE;
    const char *target = ++p;
    while (in_target[(unsigned char)*p]) p++;
    const char *target_end = p;
    if (end - p < 11 || memcmp(p, " HTTP/1.1\r\n", 11)) Py_RETURN_NONE;
    Fields fields;
    int found = read_fields(self, begin, p + 11, end, &fields);
    if (found < 0) return NULL;
    if (found == 0) Py_RETURN_NONE;
    return Py_BuildValue("(Oy#NNnn)", method, target, target_end - target, fields.lines,
                         fields.handled, fields.end - begin, Py_MAX(fields.length, 0));
}

static PyObject *scan_response(HeadScan *self, PyObject *data) {
    const char *begin, *end;
    if (bounds(data, &begin, &end) < 0) return NULL;
    const char *p = begin + 9;
    if (end - begin < 13 || memcmp(begin, "HTTP/1.1 ", 9)) Py_RETURN_NONE;
    int status = 0;
    for (int i = 0; i < 3; i++, p++) {
        if (*p < '0' || *p > '9') Py_RETURN_NONE;
        status = status * 10 + (*p - '0');
    }
    /* Interim, switching and bodyless responses have rules of their own. */
    if (status < 200 || status > 599 || status == 204 || status == 304) Py_RETURN_NONE;
    if (*p != ' ') Py_RETURN_NONE;
    p = skip_value(p, end);
    if (p[0] != '\r' || p[1] != '\n') Py_RETURN_NONE;
    Fields fields;
    int found = read_fields(self, begin, p + 2, end, &fields);
    if (found < 0) return NULL;
    if (found == 0) Py_RETURN_NONE;
    /* Without a length, the end of the connection is the body's; more bytes are an instance's fault. */
    if (fields.length < 0 || fields.length < end - fields.end) {
        Py_DECREF(fields.lines);
        Py_DECREF(fields.handled);
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(iNNnn)", status, fields.lines, fields.handled, fields.end - begin,
                         fields.length);
}

static int add_names(HeadScan *self, PyObject *names, int size, int *count, int refused) {
    PyObject *iterator = PyObject_GetIter(names), *name;
    if (iterator == NULL) return -1;
    while ((name = PyIter_Next(iterator)) != NULL) {
        if (!PyBytes_Check(name) || PyBytes_GET_SIZE(name) > LONGEST_NAME) {
            PyErr_SetString(PyExc_ValueError, "a name is bytes, at most 32 of them");
        } else if (PyBytes_GET_SIZE(name) == size) {
            if (*count == MOST_NAMES) {
                PyErr_SetString(PyExc_ValueError, "there are more than 64 names");
            } else {
                const char *text = PyBytes_AS_STRING(name);
                enum kind kind = refused                            ? REFUSED
                                 : !strcmp(text, "connection")      ? CONNECTION
                                 : !strcmp(text, "content-length") ? LENGTH
                                                                    : HANDLED;
                self->names[(*count)++] = (Name){Py_NewRef(name), kind};
            }
        }
        Py_DECREF(name);
        if (PyErr_Occurred()) break;
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *scan_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    static char *words[] = {"handled", "refused", "most_fields", "most_bytes", NULL};
    PyObject *handled, *refused, *others;
    Py_ssize_t most_fields, most_bytes;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O!$nn", words, &PyFrozenSet_Type, &handled,
                                     &PyFrozenSet_Type, &refused, &most_fields, &most_bytes))
        return NULL;
    others = PyNumber_Subtract(handled, refused);
    if (others == NULL) return NULL;
    HeadScan *self = (HeadScan *)type->tp_alloc(type, 0);
    int count = 0;
    for (int size = 0; self != NULL && size <= LONGEST_NAME; size++) {
        self->first_of[size] = (uint8_t)count;
        if (add_names(self, others, size, &count, 0) < 0 || add_names(self, refused, size, &count, 1) < 0)
            Py_CLEAR(self);
    }
    Py_DECREF(others);
    if (self != NULL) {
        self->first_of[LONGEST_NAME + 1] = (uint8_t)count;
        self->most_fields = most_fields;
        self->most_bytes = most_bytes;
    }
    return (PyObject *)self;
}

static void scan_dealloc(HeadScan *self) {
    PyTypeObject *type = Py_TYPE(self);
    for (int i = 0; i < MOST_NAMES; i++) Py_CLEAR(self->names[i].bytes);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef scan_methods[] = {
    {"request", (PyCFunction)scan_request, METH_O, "Scan the head of a request."},
    {"response", (PyCFunction)scan_response, METH_O, "Scan the head of a response."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot scan_slots[] = {
    {Py_tp_doc, "A reader of ordinary heads."},
    {Py_tp_new, scan_new},
    {Py_tp_dealloc, scan_dealloc},
    {Py_tp_methods, scan_methods},
    {0, NULL},
};

static PyType_Spec scan_spec = {
    .name = "gateway.http.scan.HeadScan",
    .basicsize = sizeof(HeadScan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = scan_slots,
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, .m_name = "scan", .m_doc = "The compiled form of scan.py.", .m_size = -1,
};

PyMODINIT_FUNC PyInit_scan(void) {
    fill_classes();
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (method_names[i] == NULL) method_names[i] = PyBytes_FromString(METHODS[i]);
        if (method_names[i] == NULL) return NULL;
    }
    PyObject *module = PyModule_Create(&module_definition);
    PyObject *type = PyType_FromSpec(&scan_spec);
    if (module == NULL || type == NULL || PyModule_AddObjectRef(module, "HeadScan", type) < 0
        || PyModule_AddObjectRef(module, "SCANS", Py_True) < 0)
        Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
