/* xenhypfs.h */
typedef struct xenhypfs_handle xenhypfs_handle;

static const int xenhypfs_type_dir;

struct xenhypfs_dirent {
    char *name;
    size_t size;
    unsigned short type;
    unsigned short encoding;
    unsigned int flags;
};

xenhypfs_handle *xenhypfs_open(xentoollog_logger *logger, unsigned int open_flags);
int xenhypfs_close(xenhypfs_handle *fshdl);
char *xenhypfs_read(xenhypfs_handle *fshdl, const char *path);
struct xenhypfs_dirent *xenhypfs_readdir(xenhypfs_handle *fshdl, const char *path,
                                         unsigned int *num_entries);
int xenhypfs_write(xenhypfs_handle *fshdl, const char *path, const char *val);
void free(void *p);

/* csrc/hypfs_numbers.h */
#define HYPFS_NUMBERS_MAX ...
int hypfs_numbers(xencall_handle *call, void *page, const char *directory,
                  const char *const names[], unsigned int count, uint64_t values[]);
