// core/export.h -- marks the public API; everything else in libflash.so stays hidden
#pragma once

#if defined(_WIN32)
#define FLASH_API
#else
#define FLASH_API __attribute__((visibility("default")))
#endif
