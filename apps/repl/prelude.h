// apps/repl/prelude.h -- what a session begins with: Flash, its names, and how its values are
// printed
#pragma once

#include <flash/flash.h>

#include <iostream>

using namespace flash;  // NOLINT: this is the user's own program

#ifdef __CLING__
// cling prints the value of a line that does not end in a semicolon by this hook.
namespace cling {
inline std::string printValue(const Tensor* t) { return t->defined() ? t->str() : "undefined"; }
inline std::string printValue(const Shape* s) { return s->str(); }
inline std::string printValue(const Device* d) { return d->str(); }
inline std::string printValue(const nn::Module* m) { return m->str(); }
}  // namespace cling
#endif
