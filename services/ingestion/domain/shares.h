#pragma once

#include <cstdint>
#include <vector>

namespace yagura::ingestion {

// `whole` shared out in proportion to the weights; the shares come to the whole exactly. All zero
// where no weight is above zero. `whole` and the sum of the weights: below 2^63.
std::vector<uint64_t> SharesOf(uint64_t whole, const std::vector<uint64_t>& weights);

}  // namespace yagura::ingestion
