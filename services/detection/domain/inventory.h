#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text/text.h"
#include "services/detection/domain/engine/address.h"
#include "yagura/directory/v1/asset.pb.h"

namespace yagura::detection {

// The assets of one tenant, to be found by id, address and host name. Immutable, thread-safe.
class Inventory {
 public:
  // `complete`: these are all the tenant has.
  static std::shared_ptr<const Inventory> Build(std::vector<directory::v1::Asset> assets,
                                                bool complete);

  struct Found {
    const directory::v1::Asset* asset = nullptr;  // null: none; lives as long as the inventory
    bool by_network = false;                      // a network has it, not an address of its own
  };
  Found ById(std::string_view id) const;
  // An address as text, seen by a device of that site (empty: of none). An asset's address without
  // a site holds for all sites, one of a site for that site alone; where the site of the event is
  // not known, for it too, unless assets of several sites have the address. The longest network
  // wins.
  Found ByAddress(std::string_view address, std::string_view site) const;
  // By the whole name; a name without a dot is looked for among the first labels.
  Found ByHost(std::string_view host) const;

  bool empty() const { return assets_.empty(); }
  const std::vector<directory::v1::Asset>& assets() const { return assets_; }
  bool complete() const { return complete_; }

 private:
  struct Network {
    AddressBytes address;
    int prefix;  // of 128
    std::string site;
    size_t asset;
  };

  std::vector<directory::v1::Asset> assets_;
  StringMap<size_t> by_id_;
  StringMap<size_t> by_host_;
  StringMap<size_t> by_label_;
  StringMap<std::vector<std::pair<std::string, size_t>>> by_address_;  // site and asset
  std::vector<Network> networks_;                                      // the longest prefix first
  bool complete_ = true;
};

}  // namespace yagura::detection
