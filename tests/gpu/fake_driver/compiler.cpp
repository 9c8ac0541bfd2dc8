// tests/gpu/fake_driver/compiler.cpp -- NVRTC without NVIDIA and, with FAKE_HIP, hiprtc without
// AMD: the host's compiler builds what the fake driver loads
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "control.h"
#include "emulation/engine.h"

#ifdef FAKE_HIP
#define NAME(x) hiprtc##x
#define TEXT(x) "hiprtc" #x
#define ENDING ".hip"
#else
#define NAME(x) nvrtc##x
#define TEXT(x) "nvrtc" #x
#define ENDING ".cu"
#endif
#define FAKE(x, ...) extern "C" __attribute__((visibility("default"))) int NAME(x)(__VA_ARGS__)
#define ENTER(x) \
  if (const int error = fake::enter(TEXT(x))) return error

using namespace flash::test;

namespace {

constexpr int kOk = 0, kInvalidOption = 5, kCompilation = 6;

struct Program {
  std::string source, log, code;
};

}  // namespace

FAKE(Version, int* major, int* minor) {
  ENTER(Version);
  *major = 13;
  *minor = 0;
  return kOk;
}
#ifndef FAKE_HIP
FAKE(GetNumSupportedArchs, int* count) {
  ENTER(GetNumSupportedArchs);
  *count = 2;
  return kOk;
}
FAKE(GetSupportedArchs, int* numbers) {
  ENTER(GetSupportedArchs);
  numbers[0] = 80;
  numbers[1] = 90;
  return kOk;
}
#endif
FAKE(CreateProgram, void** program, const char* source, const char*, int, const char* const*,
     const char* const*) {
  ENTER(CreateProgram);
  *program = new Program{source, "", ""};
  fake::live("program", 1);
  return kOk;
}
FAKE(DestroyProgram, void** program) {
  delete static_cast<Program*>(*program);
  *program = nullptr;
  fake::live("program", -1);
  ENTER(DestroyProgram);
  return kOk;
}
FAKE(CompileProgram, void* program, int count, const char* const* options) {
  ENTER(CompileProgram);
  auto* p = static_cast<Program*>(program);
  // What is computed depends on these: without them it is another program.
  bool exact = false, architecture = false;
  for (int i = 0; i < count; ++i) {
    const std::string option = options[i];
    exact = exact || option == "--fmad=false" || option == "-ffp-contract=off";
    architecture = architecture || option == "--gpu-architecture=sm_90a" ||
                   option == "--offload-arch=gfx90a:sramecc+:xnack-";
  }
  if (!exact || !architecture) return kInvalidOption;
  if (const char* sources = std::getenv("FAKE_GPU_SOURCES"))
    emulation::keep_source(p->source, sources, ENDING);
  const char* folder = std::getenv("FAKE_GPU_CACHE");
  emulation::Compiled made = emulation::compile(
      p->source, {fake::number("FAKE_GPU_CHECKS", 0) != 0, folder ? folder : FAKE_GPU_FOLDER});
  p->log = made.log;
  if (!made.ok) return kCompilation;
  std::uint64_t size = made.library.size();
  p->code = "FAKE GPU" + std::string(reinterpret_cast<const char*>(&size), 8) + made.library;
  return kOk;
}
FAKE(GetProgramLogSize, void* program, std::size_t* bytes) {
  ENTER(GetProgramLogSize);
  *bytes = static_cast<Program*>(program)->log.size() + 1;
  return kOk;
}
FAKE(GetProgramLog, void* program, char* log) {
  ENTER(GetProgramLog);
  std::strcpy(log, static_cast<Program*>(program)->log.c_str());
  return kOk;
}
#ifdef FAKE_HIP
FAKE(GetCodeSize, void* program, std::size_t* bytes) {
  ENTER(GetCodeSize);
#else
FAKE(GetCUBINSize, void* program, std::size_t* bytes) {
  ENTER(GetCUBINSize);
#endif
  *bytes = static_cast<Program*>(program)->code.size();
  return kOk;
}
#ifdef FAKE_HIP
FAKE(GetCode, void* program, char* code) {
  ENTER(GetCode);
#else
FAKE(GetCUBIN, void* program, char* code) {
  ENTER(GetCUBIN);
#endif
  const std::string& all = static_cast<Program*>(program)->code;
  std::memcpy(code, all.data(), all.size());
  return kOk;
}
#ifndef FAKE_HIP
FAKE(GetPTXSize, void*, std::size_t*) {
  ENTER(GetPTXSize);
  return kInvalidOption;  // this device's very architecture is known
}
FAKE(GetPTX, void*, char*) {
  ENTER(GetPTX);
  return kInvalidOption;
}
#endif
extern "C" __attribute__((visibility("default"))) const char* NAME(GetErrorString)(int) {
  return "an error of the fake compiler";
}
