#include "services/ingestion/domain/enrichment/asset_map.h"

#include "yagura/directory/v1/asset.pb.h"
#include "yagura/directory/v1/site.pb.h"

namespace yagura::ingestion {
namespace {

constexpr size_t kNameParts = 4;  // tenants/{tenant}/assets/{asset}

}  // namespace

std::shared_ptr<const AssetMap> AssetMap::Build(const std::vector<directory::v1::Asset>& assets,
                                                const std::vector<directory::v1::Site>& sites) {
  auto map = std::make_shared<AssetMap>();
  for (const auto& site : sites) {
    const auto parts = Split(site.name(), '/');
    if (parts.size() != kNameParts) continue;
    Tenant& tenant = map->tenants_[std::string(parts[1])];
    for (const std::string& text : site.networks()) {
      if (const auto network = ParseNetwork(text)) tenant.networks.Add(*network, true);
    }
  }
  for (const auto& asset : assets) {
    const auto parts = Split(asset.name(), '/');
    if (parts.size() != kNameParts) continue;
    Tenant& tenant = map->tenants_[std::string(parts[1])];
    for (const auto& address : asset.addresses()) {
      const auto network = ParseNetwork(address.address());
      if (network) tenant.by_site[address.site()].Add(*network, std::string(parts[3]));
    }
    if (!asset.host_name().empty()) {
      tenant.by_host.emplace(ToLower(asset.host_name()), std::string(parts[3]));
    }
  }
  return map;
}

const AssetMap::Tenant* AssetMap::Find(std::string_view tenant) const {
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() ? nullptr : &found->second;
}

std::string_view AssetMap::FindAddress(std::string_view tenant, std::string_view site,
                                       const AddressKey& address) const {
  const Tenant* owner = Find(tenant);
  if (owner == nullptr) return {};
  const auto find = [&](std::string_view at) -> std::string_view {
    const auto networks = owner->by_site.find(at);
    if (networks == owner->by_site.end()) return {};
    const std::string* asset = networks->second.Find(address);
    return asset == nullptr ? std::string_view{} : std::string_view(*asset);
  };
  const std::string_view own = find(site);
  if (!own.empty() || site.empty() || IsPrivate(address)) return own;
  return find({});
}

std::string_view AssetMap::FindHost(std::string_view tenant, std::string_view host) const {
  const Tenant* owner = Find(tenant);
  if (owner == nullptr || owner->by_host.empty() || host.empty()) return {};
  const std::string name = ToLower(host);
  auto found = owner->by_host.find(name);
  if (found == owner->by_host.end() && name.find('.') != std::string::npos) {
    found = owner->by_host.find(std::string_view(name).substr(0, name.find('.')));
  }
  return found == owner->by_host.end() ? std::string_view{} : std::string_view(found->second);
}

bool AssetMap::IsInternal(std::string_view tenant, const AddressKey& address) const {
  if (IsPrivate(address)) return true;
  const Tenant* owner = Find(tenant);
  return owner != nullptr && owner->networks.Find(address) != nullptr;
}

}  // namespace yagura::ingestion
