// nn/print.cpp -- modules as a tree with parameter counts
#include <ostream>

#include "nn/module.h"

namespace flash::nn {
namespace {

std::string grouped(std::int64_t n) {  // 1234567 → 1,234,567
  std::string s = std::to_string(n);
  for (std::size_t i = s.size(); i > 3; i -= 3) s.insert(i - 3, ",");
  return s;
}

class Printer final : public MemberVisitor {
 public:
  void parameter(const std::string&, Parameter&) override {}
  void buffer(const std::string&, Buffer&) override {}
  void module(const std::string& name, Module& m) override {
    out += "\n" + std::string(indent, ' ') + "  (" + name + "): ";
    indent += 2;
    print(m);
    indent -= 2;
    any = true;
  }

  void print(Module& m) {
    const std::string own = m.describe();
    const std::int64_t n = m.num_parameters();
    out += m.type_name() + "(" + own;
    const bool outer = any;
    any = false;
    m.visit_members(*this);
    if (any) out += "\n" + std::string(indent, ' ');
    out += ")";
    if (!any && n > 0) out += "  " + grouped(n);
    any = outer;
  }

  std::string out;
  std::size_t indent = 0;
  bool any = false;  ///< the module being printed has modules
};

}  // namespace

std::string Module::str() const {
  Printer p;
  p.print(const_cast<Module&>(*this));  // visiting hands out references; printing only reads them
  return p.out + "\n" + grouped(num_parameters()) + " parameters";
}

std::ostream& operator<<(std::ostream& os, const Module& m) { return os << m.str(); }

}  // namespace flash::nn
