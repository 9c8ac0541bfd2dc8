// tests/core/tensor_io_test.cpp -- tensors through npy and npz files, and through host arrays
#include "core/io/tensor_io.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/ops/create.h"
#include "core/ops/elementwise.h"

using namespace flash;
namespace fs = std::filesystem;

namespace {

struct Folder {
  Folder() : path(fs::temp_directory_path() / ("flash_tensor_io_" + std::to_string(getpid()))) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  fs::path path;
};

void check_same(const Tensor& a, const Tensor& b) {
  CHECK(a.dtype() == b.dtype());
  CHECK(a.shape() == b.shape());
  CHECK(to_host(a).bytes == to_host(b).bytes);
}

}  // namespace

TEST_CASE("npy keeps every dtype that NumPy has, bit for bit") {
  const Folder folder;
  for (DType d : {boolean, u8, i8, i16, i32, i64, f16, f32, f64}) {
    CAPTURE(name(d));
    const Tensor t = (arange(24).view({2, 3, 4}) - 5).to(d);
    save_npy(folder / "t.npy", t);
    check_same(load_npy(folder / "t.npy"), t);
  }
  CHECK_THROWS_AS(save_npy(folder / "b.npy", zeros({2}, bf16)), DTypeError);
  CHECK(!fs::exists(folder / "b.npy"));
}

TEST_CASE("views, scalars and empty tensors are saved as what they show") {
  const Folder folder;
  const Tensor x = arange(12).view({3, 4});
  for (const Tensor& t :
       {x.t(), x.slice(1, 1, 4, 2), x.flip(0), x.select(0, 1), scalar_tensor(2.5, f32),
        zeros({0, 3}), x.select(1, 2).unsqueeze(0).expand({2, 3})}) {
    save_npy(folder / "t.npy", t);
    const Tensor back = load_npy(folder / "t.npy");
    check_same(back, t);
    CHECK(back.is_contiguous());
  }
  CHECK(load_npy(folder / "t.npy").to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{2, 6, 10, 2, 6, 10});
}

TEST_CASE("npz keeps tensors by name") {
  const Folder folder;
  for (bool compress : {false, true}) {
    save_npz(folder / "t.npz", {{"x", arange(5)}, {"a/y", ones({2, 2})}}, compress);
    const NamedTensors back = load_npz(folder / "t.npz");
    CHECK(back.size() == 2);
    check_same(back.at("x"), arange(5));
    check_same(back.at("a/y"), ones({2, 2}));
  }
}

TEST_CASE("host arrays are copies, and must fit their shape") {
  Tensor t = ones({3});
  HostArray a = to_host(t);
  t.fill_(2);
  float first;
  std::memcpy(&first, a.bytes.data(), sizeof first);
  CHECK(first == 1.0f);
  CHECK(from_host(a).to_vector<float>() == std::vector<float>{1, 1, 1});
  a.bytes.pop_back();
  CHECK_THROWS_AS(from_host(a), ValueError);
}

TEST_CASE("saving leaves the tape alone, and a damaged file is named") {
  const Folder folder;
  Tensor x = ones({2, 3});
  x.set_requires_grad();
  save_npy(folder / "x.npy", x.t());
  CHECK(!load_npy(folder / "x.npy").requires_grad());
  std::ofstream(folder / "bad.npy") << "not an array";
  CHECK_THROWS_WITH_AS(load_npy(folder / "bad.npy"), doctest::Contains("bad.npy"), IoError);
  CHECK_THROWS_AS(load_npz(folder / "x.npy"), IoError);
}
