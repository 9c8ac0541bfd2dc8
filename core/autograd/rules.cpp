// core/autograd/rules.cpp -- the rule table, by primitive
#include "core/autograd/rules.h"

namespace flash::autograd {
namespace {

constexpr std::uint8_t kA = 1, kB = 2, kC = 4;  // the first, second and third input's gradient

// Columns: vjp | which gradients need input 0, 1, 2 | which need the output. The other columns of a
// Rule (jvp, vmap, autocast, again) are filled in where they are written.
// clang-format off
constexpr std::array<PrimRule, static_cast<std::size_t>(Prim::kCount)> kRules{{
    {Prim::kInput,          {"input"}},
    {Prim::kScalar,         {"scalar"}},
    {Prim::kIota,           {"iota"}},
    {Prim::kUniform,        {"uniform"}},
    {Prim::kView,           {"view"}},
    {Prim::kExpand,         {"expand", vjp::pass}},
    {Prim::kCopy,           {"copy", vjp::pass}},
    {Prim::kCast,           {"cast", vjp::cast}},
    {Prim::kNeg,            {"neg", vjp::neg}},
    {Prim::kAbs,            {"abs", vjp::abs}, {kA}},
    {Prim::kSqrt,           {"sqrt", vjp::sqrt}, {}, kA},
    {Prim::kRsqrt,          {"rsqrt", vjp::rsqrt}, {}, kA},
    {Prim::kExp,            {"exp", vjp::exp}, {}, kA},
    {Prim::kExpm1,          {"expm1", vjp::expm1}, {}, kA},
    {Prim::kLog,            {"log", vjp::log}, {kA}},
    {Prim::kLog1p,          {"log1p", vjp::log1p}, {kA}},
    {Prim::kTanh,           {"tanh", vjp::tanh}, {}, kA},
    {Prim::kSigmoid,        {"sigmoid", vjp::sigmoid}, {}, kA},
    {Prim::kErf,            {"erf", vjp::erf}, {kA}},
    {Prim::kSin,            {"sin", vjp::sin}, {kA}},
    {Prim::kCos,            {"cos", vjp::cos}, {kA}},
    {Prim::kFloor,          {"floor", vjp::zero}},
    {Prim::kCeil,           {"ceil", vjp::zero}},
    {Prim::kRound,          {"round", vjp::zero}},
    {Prim::kTrunc,          {"trunc", vjp::zero}},
    {Prim::kNot,            {"not"}},
    {Prim::kAdd,            {"add", vjp::add}},
    {Prim::kSub,            {"sub", vjp::sub}},
    {Prim::kMul,            {"mul", vjp::mul}, {kB, kA}},
    {Prim::kDiv,            {"div", vjp::div}, {0, kA | kB}, kB},
    {Prim::kFloorDiv,       {"floor_divide", vjp::zero}},
    {Prim::kRem,            {"remainder", vjp::rem}, {kB, kB}},
    {Prim::kFmod,           {"fmod", vjp::fmod}, {kB, kB}},
    {Prim::kPow,            {"pow", vjp::pow}, {kA | kB, kA | kB}, kB},
    {Prim::kMaximum,        {"maximum", vjp::maximum}, {kA | kB, kA | kB}},
    {Prim::kMinimum,        {"minimum", vjp::minimum}, {kA | kB, kA | kB}},
    {Prim::kEq,             {"eq"}},
    {Prim::kNe,             {"ne"}},
    {Prim::kLt,             {"lt"}},
    {Prim::kLe,             {"le"}},
    {Prim::kAnd,            {"bitwise_and"}},
    {Prim::kOr,             {"bitwise_or"}},
    {Prim::kXor,            {"bitwise_xor"}},
    {Prim::kShl,            {"bitwise_left_shift"}},
    {Prim::kShr,            {"bitwise_right_shift"}},
    {Prim::kWhere,          {"where", vjp::where}, {kB | kC}},
    {Prim::kFma,            {"fma", vjp::fma}, {kB, kA}},
    {Prim::kSum,            {"sum", vjp::sum}},
    {Prim::kProd,           {"prod", vjp::prod}, {kA}},
    {Prim::kMax,            {"amax", vjp::extreme}, {kA}, kA},
    {Prim::kMin,            {"amin", vjp::extreme}, {kA}, kA},
    {Prim::kUpdate,         {"update"}},  // record_inplace() writes its history
    {Prim::kMatmul,         {"matmul", vjp::matmul}, {kB, kA}},
    {Prim::kConv2d,         {"conv2d", vjp::conv2d}, {kB, kA}},
    {Prim::kConv2dDx,       {"conv2d_dx", vjp::conv2d_dx}, {kB, kA}},
    {Prim::kConv2dDw,       {"conv2d_dw", vjp::conv2d_dw}, {kB, kA}},
    {Prim::kMaxPool2d,      {"max_pool2d", vjp::max_pool2d}, {kA}},
    {Prim::kMaxPool2dDx,    {"max_pool2d_dx", vjp::max_pool2d_dx}, {0, kA}},
    {Prim::kAvgPool2d,      {"avg_pool2d", vjp::avg_pool2d}},
    {Prim::kAvgPool2dDx,    {"avg_pool2d_dx", vjp::avg_pool2d_dx}},
    {Prim::kGatherRows,     {"gather_rows", vjp::gather_rows}, {0, kA}},
    {Prim::kScatterAddRows, {"scatter_add_rows", vjp::scatter_add_rows}, {0, kA}},
    {Prim::kSilu,           {.name = "silu", .vjp = vjp::silu, .again = vjp::silu_again}, {kA}},
    {Prim::kGelu,           {.name = "gelu", .vjp = vjp::gelu, .again = vjp::gelu_again}, {kA}},
}};
// clang-format on

static_assert(
    [] {
      for (std::size_t i = 0; i < kRules.size(); ++i)
        if (static_cast<std::size_t>(kRules[i].id) != i || kRules[i].rule.name != kPrims[i].name)
          return false;
      return true;
    }(),
    "kRules is in the order of Prim and uses its names");

}  // namespace

const PrimRule& rule_of(Prim op) { return kRules[static_cast<std::size_t>(op)]; }

}  // namespace flash::autograd
