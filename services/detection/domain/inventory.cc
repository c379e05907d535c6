#include "services/detection/domain/inventory.h"

#include <algorithm>

#include "common/text/text.h"

namespace yagura::detection {
namespace {

std::string KeyOf(const Address& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()};
}

bool Has(const AddressBytes& network, int prefix, const AddressBytes& address) {
  const auto whole = static_cast<size_t>(prefix / 8);
  if (!std::equal(network.begin(), network.begin() + whole, address.begin())) return false;
  const int rest = prefix % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<uint8_t>(0xff << (8 - rest));
  return (network[whole] & mask) == (address[whole] & mask);
}

}  // namespace

std::shared_ptr<const Inventory> Inventory::Build(std::vector<directory::v1::Asset> assets,
                                                  bool complete) {
  auto inventory = std::make_shared<Inventory>();
  inventory->complete_ = complete;
  inventory->assets_ = std::move(assets);
  // The same assets in any order are the same inventory.
  std::ranges::sort(inventory->assets_, {}, [](const auto& asset) { return asset.name(); });
  for (size_t i = 0; i < inventory->assets_.size(); ++i) {
    const auto& asset = inventory->assets_[i];
    inventory->by_id_.emplace(asset.name().substr(asset.name().rfind('/') + 1), i);
    const std::string host = ToLower(asset.host_name());
    if (!host.empty()) {
      inventory->by_host_.emplace(host, i);
      inventory->by_label_.emplace(host.substr(0, host.find('.')), i);
    }
    for (const auto& one : asset.addresses()) {
      const auto slash = one.address().find('/');
      const auto address = ParseAddress(one.address().substr(0, slash));
      if (!address) continue;
      if (slash == std::string::npos) {
        inventory->by_address_[KeyOf(*address)].emplace_back(one.site(), i);
        continue;
      }
      const auto prefix = ParseNumber<int>(std::string_view(one.address()).substr(slash + 1));
      if (!prefix || *prefix < 0 || *prefix > (address->v4 ? 32 : 128)) continue;
      inventory->networks_.push_back(
          {address->bytes, address->v4 ? *prefix + 96 : *prefix, one.site(), i});
    }
  }
  std::ranges::stable_sort(inventory->networks_, std::ranges::greater(), &Network::prefix);
  return inventory;
}

Inventory::Found Inventory::ById(std::string_view id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? Found() : Found{&assets_[found->second], false};
}

Inventory::Found Inventory::ByHost(std::string_view host) const {
  if (host.empty()) return {};
  const std::string name = ToLower(host);
  // "www.example.com" is not our "www".
  const auto& names = name.find('.') == std::string::npos ? by_label_ : by_host_;
  const auto found = names.find(name);
  return found == names.end() ? Found() : Found{&assets_[found->second], false};
}

Inventory::Found Inventory::ByAddress(std::string_view text, std::string_view site) const {
  const auto address = ParseAddress(text);
  if (!address) return {};
  if (const auto found = by_address_.find(KeyOf(*address)); found != by_address_.end()) {
    const directory::v1::Asset* of_none = nullptr;
    const directory::v1::Asset* of_other = nullptr;
    bool several = false;
    for (const auto& [of, asset] : found->second) {
      if (of == site) return {&assets_[asset], false};
      if (of.empty()) of_none = &assets_[asset];
      several = several || (of_other != nullptr && of_other != &assets_[asset]);
      of_other = &assets_[asset];
    }
    if (of_none != nullptr) return {of_none, false};
    if (site.empty() && !several) return {of_other, false};
  }
  for (const auto& network : networks_) {
    if (!network.site.empty() && network.site != site) continue;
    if (Has(network.address, network.prefix, address->bytes))
      return {&assets_[network.asset], true};
  }
  return {};
}

}  // namespace yagura::detection
