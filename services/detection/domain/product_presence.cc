#include "services/detection/domain/product_presence.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/printable.h"
#include "common/text/text.h"
#include "services/detection/domain/product_match.h"

namespace yagura::detection {
namespace {

constexpr size_t kMaxProducts = 8;
constexpr int kMaxReasons = 8;
constexpr size_t kMaxReason = 300;
constexpr int kMaxAssets = 10;
constexpr size_t kMaxGiven = 200;

void Say(std::string reason, v1::HuntResult& result) {
  if (result.product_reasons_size() < kMaxReasons) {
    result.add_product_reasons(Printable(reason, kMaxReason));
  }
}

Likeness BestOf(const Product& product, const std::vector<WantedProduct>& wanted) {
  Likeness best = Likeness::kNone;
  for (const auto& one : wanted) {
    best = std::max(best, MatchCatalogue(product, one.vendor, one.name));
  }
  return best;
}

std::string Names(const std::vector<WantedProduct>& products) {
  std::vector<std::string> names;
  names.reserve(products.size());
  for (const auto& product : products) names.push_back(product.shown());
  return Printable(Join(names, "; "), 150);
}

}  // namespace

absl::StatusOr<std::vector<WantedProduct>> ProductsOf(std::string_view given,
                                                      const std::vector<std::string>& cves,
                                                      const KevCatalog* kev) {
  std::vector<WantedProduct> products;
  if (!given.empty()) {
    const Product product = ParseProduct(given);
    if (given.size() > kMaxGiven || product.vendor.empty() || product.name.empty()) {
      return InvalidField("hunt.product",
                          "is not \"vendor:product\" or CPE 2.3 of at most 200 bytes");
    }
    products.push_back({Join(product.vendor, " "), Join(product.name, " ")});
    return products;
  }
  for (const auto& cve : cves) {
    const auto* entry = kev == nullptr ? nullptr : kev->Find(cve);
    if (entry == nullptr || products.size() == kMaxProducts) continue;
    const bool known = std::ranges::any_of(products, [entry](const auto& one) {
      return one.vendor == entry->vendor && one.name == entry->product;
    });
    if (!known) products.push_back({entry->vendor, entry->product});
  }
  return products;
}

void TellPresence(const std::vector<WantedProduct>& products, const Inventory* inventory,
                  v1::HuntResult& result) {
  if (products.empty()) return;
  result.set_product_presence(v1::PRODUCT_UNKNOWN);
  if (inventory == nullptr) return Say("The inventory could not be read yet.", result);
  if (inventory->empty()) return Say("The tenant has no inventory of assets.", result);
  size_t silent = 0;
  bool excluded = inventory->complete();
  if (!excluded) Say("The inventory was too large to be read as a whole.", result);
  for (const auto& asset : inventory->assets()) {
    if (asset.products().empty()) ++silent;
    Likeness best = Likeness::kNone;
    std::string shown;
    for (const std::string& text : asset.products()) {
      const Product product = ParseProduct(text);
      const Likeness likeness = BestOf(product, products);
      if (likeness > best) shown = product.shown;
      best = std::max(best, likeness);
    }
    if (best == Likeness::kMaybe) excluded = false;
    if (best < Likeness::kAlike) continue;
    result.set_asset_count(result.asset_count() + 1);
    if (result.assets_size() == kMaxAssets) continue;
    result.add_assets(asset.name());
    Say(fmt::format("The asset {} runs {}{}; whether its version is open to it is not known.",
                    asset.name().substr(asset.name().rfind('/') + 1), shown,
                    best == Likeness::kSame ? "" : ", which is something alike"),
        result);
  }
  if (result.asset_count() > 0) return result.set_product_presence(v1::PRODUCT_FOUND);
  if (silent > 0) {
    return Say(fmt::format("No asset is known to have {}, but {} of {} do not tell their products.",
                           Names(products), silent, inventory->assets().size()),
               result);
  }
  if (!excluded) {
    return Say(fmt::format("Assets have other products of the vendor of {}.", Names(products)),
               result);
  }
  result.set_product_presence(v1::PRODUCT_NOT_FOUND);
  Say(fmt::format("All {} assets of the inventory tell their products, none of them {}; what is "
                  "built into products it does not tell.",
                  inventory->assets().size(), Names(products)),
      result);
}

}  // namespace yagura::detection
