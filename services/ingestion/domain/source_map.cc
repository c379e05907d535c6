#include "services/ingestion/domain/source_map.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "fmt/format.h"

#include "services/ingestion/domain/parsers/registry.h"
#include "yagura/directory/v1/source.pb.h"

namespace yagura::ingestion {

struct SenderSources::Rule {
  SourceTarget target;
  std::string listener;
  std::string network;  // 4 or 16 bytes; empty: any
  int prefix = -1;
  std::string credential;
  std::string certificate;
  std::string serial;
  std::string virtual_context;

  // Whether lines of the sender may be its, as far as the transport tells.
  bool Fits(const Sender& sender) const;
  // Of one certificate, the digest says more than its names.
  int CertificateRank() const {
    if (certificate.empty()) return 2;
    return certificate.starts_with("sha256:") ? 0 : 1;
  }
  // The smaller, the more specific.
  auto Rank() const {
    return std::tuple(credential.empty(), CertificateRank(), serial.empty(),
                      virtual_context.empty(), -prefix, listener.empty(),
                      std::string_view(target.name));
  }
};

namespace {

struct Network {
  std::string bytes;
  int prefix;
};

std::optional<Network> ParseNetwork(std::string_view text) {
  const size_t slash = text.find('/');
  const auto address = event::IpAddress::Parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  const int bits = static_cast<int>(address->bytes().size()) * 8;
  int prefix = bits;
  if (slash != text.npos) {
    const auto number = ParseNumber<int>(text.substr(slash + 1));
    if (!number || *number < 0 || *number > bits) return std::nullopt;
    prefix = *number;
  }
  return Network{std::string(address->bytes()), prefix};
}

bool Contains(std::string_view network, int prefix, std::string_view address) {
  if (network.size() != address.size()) return false;
  const auto whole = static_cast<size_t>(prefix / 8);
  if (network.substr(0, whole) != address.substr(0, whole)) return false;
  const int rest = prefix % 8;
  if (rest == 0) return true;
  const int mask = 0xff << (8 - rest) & 0xff;
  return ((network[whole] ^ address[whole]) & mask) == 0;
}

std::string_view TenantOf(std::string_view name) {
  const auto parts = Split(name, '/');
  return parts.size() == 4 && parts[0] == "tenants" && parts[2] == "sources" ? parts[1]
                                                                             : std::string_view{};
}

std::string ZoneName(const directory::v1::Source& source, const std::string& tenant,
                     const FallbackZones& zones) {
  if (!source.time_zone().empty()) return source.time_zone();
  const auto site = zones.by_site.find(fmt::format("tenants/{}/sites/{}", tenant, source.site()));
  if (site != zones.by_site.end() && !site->second.empty()) return site->second;
  const auto found = zones.by_tenant.find(tenant);
  return found == zones.by_tenant.end() ? "" : found->second;
}

}  // namespace

bool SenderSources::Rule::Fits(const Sender& sender) const {
  const auto& shown = sender.certificates;
  return (listener.empty() || listener == sender.listener) &&
         (sender.site.empty() || target.site == sender.site) &&
         (credential.empty() || credential == sender.credential) &&
         (certificate.empty() ||
          std::find(shown.begin(), shown.end(), certificate) != shown.end()) &&
         (network.empty() || Contains(network, prefix, sender.address.bytes()));
}

const SourceTarget* SenderSources::Find(std::string_view serial, std::string_view virtual_context,
                                        std::string_view only_tenant) const {
  const auto first = [&](const std::vector<const Rule*>& rules) -> const Rule* {
    for (const Rule* rule : rules) {
      if (!rule->virtual_context.empty() && rule->virtual_context != virtual_context) continue;
      if (!only_tenant.empty() && rule->target.tenant != only_tenant) continue;
      return rule;
    }
    return nullptr;
  };
  const Rule* best = first(others_);
  if (!serial.empty()) {
    if (const auto found = by_serial_.find(serial); found != by_serial_.end()) {
      const Rule* rule = first(found->second);
      if (best == nullptr || (rule != nullptr && rule->Rank() < best->Rank())) best = rule;
    }
  }
  return best == nullptr ? nullptr : &best->target;
}

const SourceTarget* SenderSources::BeforeReading(std::string_view only_tenant) const {
  return Find({}, {}, only_tenant);
}

SourceMap::SourceMap() = default;
SourceMap::~SourceMap() = default;

std::shared_ptr<const SourceMap> SourceMap::Build(const std::vector<directory::v1::Source>& sources,
                                                  const FallbackZones& zones,
                                                  std::vector<std::string>* problems,
                                                  const ParserCatalogue* parsers,
                                                  std::optional<RelaySites> relays) {
  std::shared_ptr<SourceMap> map(new SourceMap());
  const auto refuse = [&](const directory::v1::Source& source, std::string_view why) {
    if (problems != nullptr) problems->push_back(fmt::format("{}: {}", source.name(), why));
  };
  for (const directory::v1::Source& source : sources) {
    if (source.disabled()) continue;
    const auto& match = source.match();
    auto rule = std::make_unique<SenderSources::Rule>();
    rule->target.name = source.name();
    rule->target.tenant = TenantOf(source.name());
    rule->target.site = source.site();
    rule->target.device = source.device();
    rule->target.parser = source.parser();
    rule->target.silence_limit = std::chrono::seconds(source.silence_limit().seconds());
    rule->listener = match.listener();
    rule->credential = match.credential();
    rule->certificate = match.certificate();
    rule->serial = match.device_serial();
    rule->virtual_context = match.virtual_context();
    if (rule->target.tenant.empty()) {
      refuse(source, "the name is not that of a source");
      continue;
    }
    if (!match.cidr().empty()) {
      auto network = ParseNetwork(match.cidr());
      if (!network) {
        refuse(source, "match.cidr is not a network");
        continue;
      }
      rule->network = std::move(network->bytes);
      rule->prefix = network->prefix;
    }
    if (rule->listener.empty() && rule->credential.empty() && rule->certificate.empty() &&
        rule->serial.empty() && rule->virtual_context.empty() && rule->network.empty()) {
      refuse(source, "it has no criterion");
      continue;
    }
    if (!ParserRegistry::IsKnownSetting(rule->target.parser, parsers)) {
      refuse(source, "there is no such parser; lines are recognised instead");
      rule->target.parser.clear();
    }
    if (const auto charset = FindCharset(source.charset())) {
      rule->target.charset = *charset;
    } else {
      refuse(source, "there is no such character set; UTF-8 is assumed instead");
    }
    if (auto zone = SourceZone::Find(ZoneName(source, rule->target.tenant, zones)); zone.ok()) {
      rule->target.zone = *zone;
    } else {
      refuse(source, "there is no such time zone; UTC is used instead");
    }
    map->rules_.push_back(std::move(rule));
  }
  for (const auto& [site, zone] : zones.by_site) map->sites_.insert(site);
  map->relays_ = std::move(relays);
  for (const auto& [tenant, name] : zones.by_tenant) {
    if (auto zone = SourceZone::Find(name); zone.ok()) map->zones_.emplace(tenant, *zone);
  }
  std::sort(map->rules_.begin(), map->rules_.end(),
            [](const auto& a, const auto& b) { return a->Rank() < b->Rank(); });
  return map;
}

std::shared_ptr<const SourceMap> SourceMap::Empty() { return Build({}, {}, nullptr); }

SourceZone SourceMap::ZoneOf(std::string_view tenant) const {
  const auto found = zones_.find(tenant);
  return found == zones_.end() ? SourceZone() : found->second;
}

bool SourceMap::MayRelay(std::string_view principal, std::string_view site) const {
  if (!relays_) return false;
  const auto found = relays_->find(principal);
  return found != relays_->end() && found->second.contains(site);
}

std::vector<const SourceTarget*> SourceMap::targets() const {
  std::vector<const SourceTarget*> targets;
  targets.reserve(rules_.size());
  for (const auto& rule : rules_) targets.push_back(&rule->target);
  return targets;
}

std::vector<std::string> SourceMap::TenantsByCertificate(const Sender& sender) const {
  std::vector<std::string> tenants;
  for (const auto& rule : rules_) {
    if (rule->certificate.empty() || !rule->Fits(sender)) continue;
    const std::string& tenant = rule->target.tenant;
    if (std::find(tenants.begin(), tenants.end(), tenant) == tenants.end()) {
      tenants.push_back(tenant);
    }
  }
  return tenants;
}

std::vector<std::string> SourceMap::SourcesByCertificateName(const Sender& sender) const {
  std::vector<std::string> names;
  for (const auto& rule : rules_) {
    if (rule->CertificateRank() == 1 && rule->Fits(sender)) names.push_back(rule->target.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

SenderSources SourceMap::ForSender(const Sender& sender) const {
  SenderSources sources;
  sources.owner_ = shared_from_this();
  for (const auto& rule : rules_) {
    if (!rule->Fits(sender)) continue;
    if (rule->serial.empty()) {
      sources.others_.push_back(rule.get());
    } else {
      sources.by_serial_[rule->serial].push_back(rule.get());
    }
  }
  return sources;
}

}  // namespace yagura::ingestion
