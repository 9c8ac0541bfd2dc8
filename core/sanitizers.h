// core/sanitizers.h -- which sanitizer this is compiled with, by g++ or clang
//
// FLASH_THREAD_SANITIZER and FLASH_ADDRESS_SANITIZER are 1 or 0.
#pragma once

#if defined(__has_feature)
#define FLASH_HAS_FEATURE(name) __has_feature(name)
#else
#define FLASH_HAS_FEATURE(name) 0
#endif

#if defined(__SANITIZE_THREAD__) || FLASH_HAS_FEATURE(thread_sanitizer)
#define FLASH_THREAD_SANITIZER 1
#else
#define FLASH_THREAD_SANITIZER 0
#endif

#if defined(__SANITIZE_ADDRESS__) || FLASH_HAS_FEATURE(address_sanitizer)
#define FLASH_ADDRESS_SANITIZER 1
#else
#define FLASH_ADDRESS_SANITIZER 0
#endif

#undef FLASH_HAS_FEATURE
