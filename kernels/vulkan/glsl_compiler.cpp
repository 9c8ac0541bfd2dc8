// kernels/vulkan/glsl_compiler.cpp -- finds libflash_glsl.so beside the library or program that
// this code is in
#include "kernels/vulkan/glsl_compiler.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>

#include "core/error.h"
#include "kernels/vulkan/glsl_module.h"

namespace flash::vulkan {
namespace {

struct Compiler {
  GlslCompile compile = nullptr;
  std::string name, because;
};

// The folder of this code's file, with the slash.
std::string own_folder() {
  Dl_info info;
  static const char here = 0;
  if (dladdr(&here, &info) == 0 || info.dli_fname == nullptr) return {};
  const std::string file = info.dli_fname;
  return file.substr(0, file.rfind('/') + 1);
}

const Compiler& compiler() {
  static const Compiler& found = *new Compiler([] {
    Compiler c;
    const std::string folder = own_folder();
    void* library = nullptr;
    std::string why;  // of the first that is there
    // Beside an installed library; above a test program of the build; where the loader looks.
    for (const std::string& at : {folder, folder + "../", folder + "../../", std::string()}) {
      const std::string file = at + "libflash_glsl.so";
      if (!at.empty() && access(file.c_str(), F_OK) != 0) continue;
      library = dlopen(file.c_str(), RTLD_NOW);
      if (library != nullptr) break;
      if (why.empty()) why = dlerror();
    }
    if (library == nullptr) {
      c.because = "its compiler of GLSL cannot be opened (" + why + ")";
      return c;
    }
    c.compile = reinterpret_cast<GlslCompile>(dlsym(library, "flash_glsl_compile"));
    c.name = reinterpret_cast<GlslName>(dlsym(library, "flash_glsl_name"))();
    return c;
  }());
  return found;
}

struct Taken {
  std::vector<std::uint32_t> words;
  std::string errors;
};

}  // namespace

const std::string& no_compiler_because() { return compiler().because; }
const std::string& compiler_name() { return compiler().name; }

std::vector<std::uint32_t> compile_glsl(const std::string& source, const std::string& name) {
  const Compiler& c = compiler();
  if (c.compile == nullptr) throw DeviceError("vulkan: no kernel can be compiled: " + c.because);
  Taken taken;
  const auto take = [](void* to, const void* bytes, std::size_t count, bool errors) {
    auto& t = *static_cast<Taken*>(to);
    if (errors) {
      t.errors.assign(static_cast<const char*>(bytes), count);
    } else {
      t.words.resize(count / sizeof(std::uint32_t));
      std::memcpy(t.words.data(), bytes, t.words.size() * sizeof(std::uint32_t));
    }
  };
  c.compile(source.data(), source.size(), name.c_str(), take, &taken);
  if (taken.words.empty())
    throw InternalError("vulkan: the source of kernel " + name +
                        " does not compile: " + taken.errors);
  return taken.words;
}

}  // namespace flash::vulkan
