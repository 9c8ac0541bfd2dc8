// core/error.h -- the exceptions Flash throws: one small hierarchy, messages that are sentences
//
// Every error is raised at the call that is wrong (never later, inside a flush, when it could have
// been known earlier) and says the operation, what was given, what is wanted and what to do.
#pragma once

#include <stdexcept>
#include <string>

#include "export.h"

namespace flash {

/// Base of everything Flash throws on purpose.
class FLASH_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shapes that do not fit the operation: ranks, sizes, broadcasting.
class FLASH_API ShapeError : public Error {
 public:
  using Error::Error;
};

/// An element type the operation does not take.
class FLASH_API DTypeError : public Error {
 public:
  using Error::Error;
};

/// A device that is not there, or operands on different devices.
class FLASH_API DeviceError : public Error {
 public:
  using Error::Error;
};

/// A dimension, index or key out of range.
class FLASH_API IndexError : public Error {
 public:
  using Error::Error;
};

/// A value outside of what the operation takes (a probability of 2, a negative stride).
class FLASH_API ValueError : public Error {
 public:
  using Error::Error;
};

/// The device's memory is used up, also after the cache was trimmed and the request tried again.
class FLASH_API OutOfMemory : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read, written or understood.
class FLASH_API IoError : public Error {
 public:
  using Error::Error;
};

/// A misuse of the autograd tape: no graph, a graph used twice, a saved value changed in place.
class FLASH_API AutogradError : public Error {
 public:
  using Error::Error;
};

/// A promise inside Flash that does not hold. Please report it.
class FLASH_API InternalError : public Error {
 public:
  using Error::Error;
};

}  // namespace flash
