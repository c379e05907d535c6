// Any bytes as CISA's catalogue, and as names of products, which are matched with whatever they
// are.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "services/detection/domain/kev.h"
#include "services/detection/domain/product_match.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace yagura::detection;  // NOLINT(google-build-using-namespace)
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto catalog = KevCatalog::Parse(text);
  if (!catalog.ok() && catalog.status().code() != absl::StatusCode::kInvalidArgument) std::abort();
  if (catalog.ok() && (*catalog)->size() > KevCatalog::kMaxEntries) std::abort();
  const std::string_view first = text.substr(0, size / 2);
  const std::string_view second = text.substr(size / 2);
  const Product product = ParseProduct(first);
  static_cast<void>(MatchCatalogue(product, second, first));
  static_cast<void>(MatchCatalogue(ParseProduct(second), first, second));
  static_cast<void>(MatchSignature(product, second));
  return 0;
}
