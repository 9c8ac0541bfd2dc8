// nn/embedding.h -- a table of vectors, looked up by integer
#pragma once

#include "module.h"

namespace flash::nn {

/// weight: [count, width], starts standard normal. Integer indices [...] give [..., width].
struct FLASH_API Embedding : Module {
  Embedding(std::int64_t count, std::int64_t width);
  Tensor forward(const Tensor& index) const;
  std::string describe() const override;

  Parameter weight;
  FLASH_MODULE(Embedding, weight)
};

}  // namespace flash::nn
