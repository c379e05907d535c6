#include "services/ingestion/domain/shares.h"

#include <algorithm>
#include <numeric>

namespace yagura::ingestion {

std::vector<uint64_t> SharesOf(uint64_t whole, const std::vector<uint64_t>& weights) {
  std::vector<uint64_t> shares;
  shares.reserve(weights.size());
  uint64_t weights_left = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
  uint64_t left = whole;
  for (const uint64_t weight : weights) {
    // Of what is left, so that the shares come to the whole.
    const auto share = weight == 0 ? uint64_t{0}
                                   : static_cast<uint64_t>(static_cast<double>(left) *
                                                           static_cast<double>(weight) /
                                                           static_cast<double>(weights_left));
    shares.push_back(weight > 0 && weight == weights_left ? left : std::min(share, left));
    left -= shares.back();
    weights_left -= weight;
  }
  return shares;
}

}  // namespace yagura::ingestion
