// jit/emit/clike/generic_function.cpp -- the generic kernel's source
//
// What a program is stands in generic.cpp, what its instructions do in generic_cases.cpp.
#include <array>
#include <bit>
#include <string>
#include <string_view>

#include "jit/emit/clike/generic.h"
#include "jit/emit/clike/generic_cases.h"
#include "jit/ir/op_info.h"

namespace flash::emit {
namespace {

using namespace generic;
using ir::ReduceKind;
using ir::Type;

constexpr int kLevels = std::bit_width(unsigned{kGenericBlocks});  // of a binary counter
constexpr std::array kNumbers = {Type::kI32, Type::kI64, Type::kF32, Type::kF64};
constexpr std::string_view kCombine[] = {"add", "mul", "max", "min"};  // by ReduceKind

std::string text(std::string_view s) { return std::string(s); }
std::string str(std::int64_t n) { return std::to_string(n); }

constexpr std::string_view kHelpers = R"source(
// Called in many places, and large: one copy takes a tenth of the time to compile.
#define CALLED __device__ __noinline__
#define AS_pred(bits) (bits != u64(0))
#define AS_i32(bits) i32(u32(bits))
#define AS_i64(bits) i64(bits)
#define AS_f32(bits) bits_f32(u32(bits))
#define AS_f64(bits) bits_f64(bits)
#define BITS_pred(v) u64((v) ? 1 : 0)
#define BITS_i32(v) u64(u32(v))
#define BITS_i64(v) u64(v)
#define BITS_f32(v) u64(f32_bits(v))
#define BITS_f64(v) f64_bits(v)
#define CODE(n) u32(load_i32(program + u64(n) * u64(4)))
#define WORD(n) load_i64(words + u64(n) * u64(8))

CALLED i64 generic_position(u64 words, u32 slot, const i64* index, i32 axes) {
  i64 at = WORD(slot);
  for (i32 a = 0; a < axes; ++a) at += index[a] * WORD(slot + 1u + u32(a));
  return at;
}

// Where an access is: the access, in words of the program, and the element's size.
CALLED u64 generic_address(u64 program, u64 words, u32 access, i64 size, const i64* index,
                           i32 axes) {
  u32 f[4];
  load_words_2(program + u64(access) * u64(4), f);
  load_words_2(program + u64(access) * u64(4) + u64(8), f + 2);
  i64 at = WORD(f[0]);
  for (i32 a = 0; a < axes; ++a)
    if ((f[2] >> a & 1u) != 0u)
      at += index[a] * ((f[3] >> a & 1u) != 0u ? size : WORD(f[1] + u32(a)));
  return u64(at);
}
#define ADDRESS(size)                                                                   \
  (generic_address(program, words, CODE(6) + f[6] * 4u, i64(size), index, axes) +       \
   (f[7] != 0u ? r[f[7] - 1u] * u64(size) : u64(0)))
)source";

constexpr std::string_view kKernel = R"source({
  if (tiles <= i64(0)) return;
  const u64 program = u64(ARGS) + u64(ARG(0)), words = u64(ARGS) + u64(ARG(1));
  const pred column = CODE(0) != 0u, reduces = CODE(4) != 0u;
  const i32 axes = i32(CODE(1)), first_loop = i32(CODE(2)), run_axis = i32(CODE(3));
  const i32 sections = i32(CODE(5));
  const i32 lane = THREAD_X, width = SIZE_X;
#define EXTENT(a) WORD(FIRST_EXTENT + (a))
#define BODY(writes, second)                                                               \
  generic_body(u64(code), count, program, words, index, axes, writes, second, r, acc);
  u64 r[REGISTERS], acc[2 * REDUCTIONS], stack[REDUCTIONS * LEVELS];
  i64 index[AXES];
  i64 run = EXTENT(run_axis), outer = i64(1);
  for (i32 a = first_loop; a < run_axis; ++a) outer *= EXTENT(a);

  for (i64 tile = i64(BLOCK_X) * SIZE_Y + THREAD_Y; tile < tiles; tile += i64(GRID_X) * SIZE_Y) {
    i64 point = tile, begin = i64(0), end = i64(1);
    if (column || !reduces) {  // a chunk of the lanes, or of a map's run
      const i64 chunks = WORD(CHUNKS), size = WORD(CHUNK);
      point = tile / chunks;
      begin = tile % chunks * size;
      end = min_i64(begin + size, EXTENT(axes - 1));
    }
    for (i32 a = first_loop - 1; a >= 0; --a) {
      index[a] = point % EXTENT(a);
      point = point / EXTENT(a);
    }
    for (i64 l = column ? begin + lane : i64(0); l < (column ? end : i64(1)); l += width) {
      if (column) index[axes - 1] = l;
      for (i32 s = 0; s < sections; ++s) {
        const u32 kind = CODE(8 + 4 * s), code = CODE(9 + 4 * s), count = CODE(10 + 4 * s);
        const u32 reduced = CODE(11 + 4 * s);
        const i32 reductions = i32(kind >> 1);
        if ((kind & 1u) == 0u) {
          for (i32 a = first_loop; a <= run_axis; ++a) index[a] = i64(0);
          BODY(column || lane == 0, 0)
          continue;
        }
        i64 pushed = i64(0);
        for (i64 o = i64(0); o < outer; ++o) {
          i64 rest = o;
          for (i32 a = run_axis - 1; a >= first_loop; --a) {
            index[a] = rest % EXTENT(a);
            rest = rest / EXTENT(a);
          }
          if (reductions == 0) {
            const i64 first = column ? i64(0) : reduces ? i64(lane) : begin + lane;
            const i64 last = column || reduces ? run : end;
            for (i64 i = first; i < last; i += column ? 1 : width) {
              index[run_axis] = i;
              BODY(true, 0)
            }
            continue;
          }
          const i64 block = column ? i64(COLUMN_BLOCK) : i64(ROW_BLOCK);
          for (i64 from = i64(0); from < run; from += block) {
            const i64 to = min_i64(run, from + block);
            for (i32 q = 0; q < reductions; ++q) {
              const u32 at = reduced + u32(8 * q);
              acc[2 * q] = u64(CODE(at + 5u)) << 32 | u64(CODE(at + 4u));
              acc[2 * q + 1] = acc[2 * q];
            }
            if (column) {
              for (i64 i = from; i < to; ++i) {
                index[run_axis] = i;
                BODY(true, 0)
              }
            } else {
              for (i64 pair = from + lane; pair < to; pair += 64)
                for (i32 second = 0; second < 2; ++second) {
                  index[run_axis] = pair + 32 * second;
                  if (index[run_axis] < to) BODY(true, second)
                }
            }
            for (i32 q = 0; q < reductions; ++q) {
              const u32 at = reduced + u32(8 * q), how = CODE(at);
              u64 v = acc[2 * q];
              if (!column) {
                if (CODE(at + 2u) != 0u) v = generic_combine(how, v, acc[2 * q + 1]);
                for (i32 h = 16; h >= 1; h /= 2)
                  v = generic_combine(how, v, u64(below_i64(i64(v), h)));
                v = u64(first_i64(i64(v)));
              }
              i32 level = 0;
              for (; (pushed >> level & i64(1)) != i64(0); ++level)
                v = generic_combine(how, stack[q * LEVELS + level], v);
              stack[q * LEVELS + level] = v;
            }
            ++pushed;
          }
        }
        for (i32 q = 0; q < reductions; ++q) {
          const u32 at = reduced + u32(8 * q), how = CODE(at);
          u64 v = u64(CODE(at + 5u)) << 32 | u64(CODE(at + 4u));
          if (pushed > i64(0)) {
            i32 level = 0;
            while ((pushed >> level & i64(1)) == i64(0)) ++level;
            v = stack[q * LEVELS + level];
            for (++level; (pushed >> level) != i64(0); ++level)
              if ((pushed >> level & i64(1)) != i64(0))
                v = generic_combine(how, stack[q * LEVELS + level], v);
          }
          r[CODE(at + 1u)] = v;
        }
      }
    }
  }
}
)source";

}  // namespace

std::string generic_function(std::string_view entry) {
  std::string s = "// the generic kernel\n";
  const auto define = [&](const char* name, std::int64_t value) {
    s += text("#define ") + name + " " + str(value) + "\n";
  };
  define("REGISTERS", kRegisters);
  define("REDUCTIONS", kReductions);
  define("LEVELS", kLevels);
  define("AXES", kAxes);
  define("FIRST_EXTENT", ir::kArgExtents);
  define("CHUNK", ir::kArgChunk);
  define("CHUNKS", ir::kArgChunks);
  define("ROW_BLOCK", ir::kRowBlock);
  define("COLUMN_BLOCK", ir::kColumnBlock);
  s += kHelpers;
  s += "CALLED u64 generic_combine(u32 how, u64 a, u64 b) {\n  switch (how) {\n";
  for (std::size_t kind = 0; kind < std::size(kCombine); ++kind)
    for (const Type t : kNumbers) {
      const std::string type(ir::name(t));
      s += "    case " + str(combining(static_cast<ReduceKind>(kind), t)) +
           "u:\n      return BITS_" + type + "(" + text(kCombine[kind]) + "_" + type + "(AS_" +
           type + "(a), AS_" + type + "(b)));\n";
    }
  s += "  }\n  return a;\n}\n\n";
  s += "CALLED void generic_body(u64 at, u32 count, u64 program, u64 words, const i64* index, i32 "
       "axes,\n                     pred writes, i32 second, u64* r, u64* acc) {\n"
       "  at = program + at * u64(4);\n"
       "  for (u32 n = 0u; n < count; ++n) {\n"
       "    u32 f[8];\n"
       "    UNROLL for (i32 i = 0; i < 8; i += 2) load_words_2(at + u64(4 * i), f + i);\n"
       "    at += u64(32);\n"
       "    const u32 d = f[1], a = f[2], b = f[3], c = f[4];\n"
       "    const pred on = f[5] == 0u || r[f[5] - 1u] != u64(0);\n"
       "    switch (f[0]) {\n";
  int number = 0;
  for (const auto& [key, statement] : all_cases())
    s += "      case " + str(number++) + "u:\n        " + statement + "\n        break;\n";
  s += "    }\n  }\n}\n\nKERNEL(" + text(entry) + ") ";
  return s.append(kKernel);
}

}  // namespace flash::emit
