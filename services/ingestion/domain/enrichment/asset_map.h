#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/text/text.h"
#include "services/ingestion/domain/enrichment/network.h"

namespace yagura::directory::v1 {
class Asset;
class Site;
}  // namespace yagura::directory::v1

namespace yagura::ingestion {

// Whose address it is: the assets of all tenants, by site, and the tenants' own networks. A private
// address is one of its site alone, as two sites may use the same; an asset's address without a
// site counts for the whole tenant where it is a public one, else for events without a site.
// Immutable, thread-safe.
class AssetMap {
 public:
  static std::shared_ptr<const AssetMap> Build(const std::vector<directory::v1::Asset>& assets,
                                               const std::vector<directory::v1::Site>& sites);

  // The id of the asset that has the address, seen by a device of that site (empty: of none). The
  // most specific network wins, the site's before the tenant's. Empty where there is none.
  std::string_view FindAddress(std::string_view tenant, std::string_view site,
                               const AddressKey& address) const;
  // By host name, or the first label of it; of the whole tenant.
  std::string_view FindHost(std::string_view tenant, std::string_view host) const;
  // Private, or in a network of one of the tenant's sites.
  bool IsInternal(std::string_view tenant, const AddressKey& address) const;

 private:
  struct Tenant {
    StringMap<NetworkMap<std::string>> by_site;  // asset ids; "" for those without a site
    StringMap<std::string> by_host;              // in lower case
    NetworkMap<bool> networks;
  };
  const Tenant* Find(std::string_view tenant) const;

  StringMap<Tenant> tenants_;
};

}  // namespace yagura::ingestion
