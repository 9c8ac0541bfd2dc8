// kernels/gpu/leaf_pool.cpp -- pooling and its gradients: a thread has an element of the output
//
// A gradient's element adds what its windows give it in their row-major order, as the CPU does. For
// max pooling a first launch finds the place of each window's maximum.
#include <algorithm>

#include "kernels/contraction.h"
#include "kernels/gpu/leaf_source.h"

namespace flash::gpu {

// FORM: MAX and AVERAGE; PLACE, the place in its plane of each window's maximum; MAX_DX and
// AVERAGE_DX.
constexpr std::string_view kPoolText = R"source(
KERNEL(NAME) {
  const INDEX kernel_h = INDEX(ARG_KERNEL_H), kernel_w = INDEX(ARG_KERNEL_W);
  const INDEX stride_h = INDEX(ARG_STRIDE_H), stride_w = INDEX(ARG_STRIDE_W);
  const INDEX padding_h = INDEX(ARG_PADDING_H), padding_w = INDEX(ARG_PADDING_W);
  const INDEX height = INDEX(ARG_H), width = INDEX(ARG_W);
  const INDEX rows = INDEX(ARG_OUT_H), cols = INDEX(ARG_OUT_W);
  for (i64 tile = i64(BLOCK_X); tile < tiles; tile += i64(GRID_X)) {
    const i64 element = tile * i64(THREADS) + i64(THREAD_X);
    if (element >= ARG_COUNT) continue;
#if FORM == MAX_DX || FORM == AVERAGE_DX
    const i64 plane_size = i64(height) * i64(width);
    const INDEX across = width;
#else
    const i64 plane_size = i64(rows) * i64(cols);
    const INDEX across = cols;
#endif
    const i64 plane = element / plane_size;
    const INDEX at = INDEX(element % plane_size), down = at / across, right = at % across;
    const u64 x_at = u64(ARG_X) + u64(plane / ARG_CHANNELS * ARG_X_IMAGE +
                                      plane % ARG_CHANNELS * ARG_X_CHANNEL);
#if FORM == MAX || FORM == PLACE || FORM == AVERAGE
    const INDEX top = down * stride_h - padding_h, left = right * stride_w - padding_w;
    const INDEX y0 = max_INDEX(top, INDEX(0)), y1 = min_INDEX(top + kernel_h, height);
    const INDEX x0 = max_INDEX(left, INDEX(0)), x1 = min_INDEX(left + kernel_w, width);
#if FORM == AVERAGE
    REAL sum = ZERO;
    for (INDEX y = y0; y < y1; ++y)
      for (INDEX x = x0; x < x1; ++x)
        sum = ADD(sum, LOAD(x_at + u64(i64(y) * ARG_X_H + i64(x) * ARG_X_W)));
    INDEX tall = max_INDEX(y1 - y0, INDEX(0)), wide = max_INDEX(x1 - x0, INDEX(0));
    if (ARG_COUNT_PADDING != i64(0)) {
      tall = min_INDEX(top + kernel_h, height + padding_h) - top;
      wide = min_INDEX(left + kernel_w, width + padding_w) - left;
    }
    STORE(u64(ARG_C) + u64(element * i64(BYTES)), DIV(sum, REAL(i64(tall) * i64(wide))));
#else
    REAL best = LOWEST;
    INDEX place = INDEX(-1);
    for (INDEX y = y0; y < y1; ++y)
      for (INDEX x = x0; x < x1; ++x) {
        const REAL v = LOAD(x_at + u64(i64(y) * ARG_X_H + i64(x) * ARG_X_W));
        // The first of equals, NaN above all; PLACE begins with the first element, whatever it is.
        if (LT(best, v) || (IS_NAN(v) && !IS_NAN(best)) || (FORM == PLACE && place < INDEX(0))) {
          best = v;
          place = y * width + x;
        }
      }
#if FORM == MAX
    STORE(u64(ARG_C) + u64(element * i64(BYTES)), best);
#else
    STORE_INDEX(u64(ARG_C) + u64(element * i64(INDEX_BYTES)), place);
#endif
#endif
#else
    // Windows [i0, i1] × [j0, j1] hold this element.
    const INDEX over = down + padding_h, beside = right + padding_w;
    const INDEX i0 = over < kernel_h ? INDEX(0) : (over - kernel_h) / stride_h + INDEX(1);
    const INDEX j0 = beside < kernel_w ? INDEX(0) : (beside - kernel_w) / stride_w + INDEX(1);
    const INDEX i1 = min_INDEX(over / stride_h, rows - INDEX(1));
    const INDEX j1 = min_INDEX(beside / stride_w, cols - INDEX(1));
    REAL sum = ZERO;
    for (INDEX i = i0; i <= i1; ++i)
      for (INDEX j = j0; j <= j1; ++j) {
        const u64 from = x_at + u64(i64(i) * ARG_X_H + i64(j) * ARG_X_W);
#if FORM == MAX_DX
        const i64 window = (plane * i64(rows) + i64(i)) * i64(cols) + i64(j);
        if (LOAD_INDEX(u64(ARG_PLACES) + u64(window * i64(INDEX_BYTES))) == at)
          sum = ADD(sum, LOAD(from));
#else
        const INDEX top = i * stride_h - padding_h, left = j * stride_w - padding_w;
        INDEX tall = min_INDEX(top + kernel_h, height) - max_INDEX(top, INDEX(0));
        INDEX wide = min_INDEX(left + kernel_w, width) - max_INDEX(left, INDEX(0));
        if (ARG_COUNT_PADDING != i64(0)) {
          tall = min_INDEX(top + kernel_h, height + padding_h) - top;
          wide = min_INDEX(left + kernel_w, width + padding_w) - left;
        }
        sum = ADD(sum, DIV(LOAD(from), REAL(i64(tall) * i64(wide))));
#endif
      }
    STORE(u64(ARG_C) + u64(element * i64(BYTES)), sum);
#endif
#ifdef EPILOGUE
    EPILOGUE_WORDS(i32(ARG_EPILOGUE))
    EPILOGUE(element);
#endif
  }
}
)source";

namespace {

using Index = std::int64_t;

enum class Form : std::uint8_t { kMax, kAverage, kPlace, kMaxDx, kAverageDx };
constexpr std::string_view kFormNames[] = {"max_pool2d", "avg_pool2d", "max_pool2d_place",
                                           "max_pool2d_dx", "avg_pool2d_dx"};

/// x is what is read: the input, or the output's gradient. Strides in bytes.
struct PoolWords {
  Index epilogue;  ///< word 0 of all that take one
  Index x, x_image, x_channel, x_h, x_w;
  Index c, count, channels, places;
  Index h, w, out_h, out_w;
  Index kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, count_padding;
};
constexpr std::string_view kPoolWords[] = {
    "EPILOGUE", "X",        "X_IMAGE",  "X_CHANNEL", "X_H",       "X_W",       "C",
    "COUNT",    "CHANNELS", "PLACES",   "H",         "W",         "OUT_H",     "OUT_W",
    "KERNEL_H", "KERNEL_W", "STRIDE_H", "STRIDE_W",  "PADDING_H", "PADDING_W", "COUNT_PADDING"};
static_assert(sizeof(PoolWords) == std::size(kPoolWords) * sizeof(Index));

LeafSource pool_source(Form form, DType dtype, bool wide, const Capabilities& device) {
  const int threads = std::min(256, device.block_threads);
  const std::string entry = std::string(kFormNames[static_cast<std::size_t>(form)]) + "_" +
                            std::string(name(dtype)) + "_" + std::to_string(threads) +
                            (wide ? "_i64" : "");
  return leaf_source(entry, {kPoolText}, threads, [&](Defines& d) {
    const std::string index(index_name(wide));
    d.types(dtype).words(kPoolWords).add("INDEX", index).add("INDEX_BYTES", wide ? 8 : 4);
    d.add("max_INDEX", "max_" + index).add("min_INDEX", "min_" + index);
    d.add("LOAD_INDEX", "load_" + index).add("STORE_INDEX", "store_" + index);
    d.add("LOWEST",
          dtype == DType::kF64 ? "literal_f64(u64(0xfff) << 52)" : "literal_f32(0xff800000u)");
    d.add("MAX", 0).add("AVERAGE", 1).add("PLACE", 2).add("MAX_DX", 3).add("AVERAGE_DX", 4);
    d.add("FORM", static_cast<Index>(form));
  });
}

LeafLaunch launch_pool(Form form, DType dtype, bool wide, const PoolWords& words,
                       const Capabilities& device) {
  const LeafSource source = pool_source(form, dtype, wide, device);
  return launch_of(source, words_of(words), ceil_div(words.count, source.x), device.most_blocks);
}

void set_input(PoolWords& w, const Operand& x) {
  const Index size = size_of(x.dtype);
  w.x = word_of(x.data);
  w.x_image = x.strides[0] * size;
  w.x_channel = x.strides[1] * size;
  w.x_h = x.strides[2] * size;
  w.x_w = x.strides[3] * size;
}

}  // namespace

std::vector<LeafLaunch> pool_launches(const LeafCall& call, const Capabilities& device,
                                      const LeafMemory& memory) {
  const Operand &first = call.inputs[0], &out = call.output;
  for (const Operand& x : call.inputs)
    require(x.shape.rank() == 4 && out.shape.rank() == 4 && x.dtype == out.dtype &&
                x.shape[0] == out.shape[0] && x.shape[1] == out.shape[1],
            call, "[N, C, H, W] operands that agree");
  require(call.attrs.size() >= kPoolAttrs, call, "kernel, stride, padding, count_include_pad");
  const auto attr = [&](std::size_t i) { return call.attrs[i]; };
  require(attr(0) > 0 && attr(1) > 0 && attr(2) > 0 && attr(3) > 0, call,
          "positive kernels and strides");
  const bool backward = call.op == Prim::kMaxPool2dDx || call.op == Prim::kAvgPool2dDx;
  const Shape &image = backward ? out.shape : first.shape,
              &result = backward ? first.shape : out.shape;
  if (out.shape.numel() == 0) return {};

  PoolWords w{};
  set_input(w, first);
  w.c = word_of(out.data);
  w.count = out.shape.numel();
  w.channels = out.shape[1];
  w.h = image[2];
  w.w = image[3];
  w.out_h = result[2];
  w.out_w = result[3];
  w.kernel_h = attr(0);
  w.kernel_w = attr(1);
  w.stride_h = attr(2);
  w.stride_w = attr(3);
  w.padding_h = attr(4);
  w.padding_w = attr(5);
  w.count_padding = attr(6) != 0;
  const bool wide = is_wide({w.h * w.w, (w.out_h + 1) * w.stride_h + w.kernel_h,
                             (w.out_w + 1) * w.stride_w + w.kernel_w, w.out_h * w.out_w});
  if (call.op == Prim::kMaxPool2d) return {launch_pool(Form::kMax, out.dtype, wide, w, device)};
  if (call.op == Prim::kAvgPool2d) return {launch_pool(Form::kAverage, out.dtype, wide, w, device)};
  if (call.op == Prim::kAvgPool2dDx)
    return {launch_pool(Form::kAverageDx, out.dtype, wide, w, device)};

  std::vector<LeafLaunch> all;
  PoolWords places = w;
  set_input(places, call.inputs[1]);
  places.count = result.numel();
  if (places.count > 0) {
    const Index bytes = places.count * (wide ? 8 : 4);
    places.c = w.places = word_of(memory.scratch(static_cast<std::size_t>(bytes)));
    all.push_back(launch_pool(Form::kPlace, out.dtype, wide, places, device));
  }
  all.push_back(launch_pool(Form::kMaxDx, out.dtype, wide, w, device));
  return all;
}

void add_pool_sources(const Capabilities& device, std::vector<LeafSource>& to) {
  for (const DType dtype : kFloats)
    for (int form = 0; form < 5; ++form)
      for (const bool wide : {false, true})
        if (dtype != DType::kF64 || device.f64)
          to.push_back(pool_source(static_cast<Form>(form), dtype, wide, device));
}

}  // namespace flash::gpu
