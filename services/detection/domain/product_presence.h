#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/inventory.h"
#include "services/detection/domain/kev.h"
#include "yagura/detection/v1/hunt.pb.h"

namespace yagura::detection {

// A product that a hunt is about.
struct WantedProduct {
  std::string vendor;
  std::string name;  // as a catalogue writes it: "FortiOS, FortiProxy", "Multiple Products"

  std::string shown() const { return vendor + " " + name; }
};

// What was asked for, else the products of the CVEs as the catalogue (null: there is none) names
// them; at most 8. INVALID_ARGUMENT where `given` names no vendor and product.
absl::StatusOr<std::vector<WantedProduct>> ProductsOf(std::string_view given,
                                                      const std::vector<std::string>& cves,
                                                      const KevCatalog* kev);

// Whether a tenant has one of them: product_presence, product_reasons, assets and asset_count.
// `inventory` null: it could not be read yet. What is not known is never "no".
void TellPresence(const std::vector<WantedProduct>& products, const Inventory* inventory,
                  v1::HuntResult& result);

}  // namespace yagura::detection
