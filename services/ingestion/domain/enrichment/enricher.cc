#include "services/ingestion/domain/enrichment/enricher.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/text/text.h"

namespace yagura::ingestion {
namespace {

constexpr std::string_view kPrefix = "enriched.";
constexpr std::string_view kPretender = "device.";
constexpr std::string_view kThreat = "enriched.threat";
constexpr std::string_view kInternal = "internal";
constexpr std::string_view kExternal = "external";
// What a batch takes is bounded; an event near its bound stays as it is.
constexpr size_t kMaxFields = 4000;
constexpr size_t kMaxThreats = 1024;
// The shortest hash, MD5 in hex.
constexpr size_t kShortestHash = 32;

// Broadcast, multicast and "no address" are nobody's.
bool IsHost(const AddressKey& key) {
  const bool is_v4 = std::all_of(key.begin(), key.begin() + 10, [](uint8_t b) { return b == 0; }) &&
                     key[10] == 0xff && key[11] == 0xff;
  if (is_v4) return key[12] != 0 && key[12] < 224;
  return key[0] != 0xff && std::any_of(key.begin(), key.end(), [](uint8_t b) { return b != 0; });
}

// "https://user@host:8443/path?query" and "host/path" name a host.
std::string_view HostOfUrl(std::string_view url) {
  if (const size_t scheme = url.find("://"); scheme != url.npos) url.remove_prefix(scheme + 3);
  url = url.substr(0, url.find_first_of("/?#\\"));
  if (const size_t at = url.rfind('@'); at != url.npos) url.remove_prefix(at + 1);
  if (url.starts_with('[')) return {};
  return url.substr(0, url.find(':'));
}

}  // namespace

void Enricher::Enrich(std::string_view tenant, event::EventView* event) {
  static constexpr Names kSource = {"enriched.src.asset", "enriched.src.scope",
                                    "enriched.src.country", "enriched.src.as_number",
                                    "enriched.src.as_name"};
  static constexpr Names kTarget = {"enriched.dst.asset", "enriched.dst.scope",
                                    "enriched.dst.country", "enriched.dst.as_number",
                                    "enriched.dst.as_name"};
  if (const uint64_t version = current_->version(); version != version_) {
    version_ = version;
    enrichment_ = current_->Get();
    places_.clear();
    last_ = nullptr;
  }
  RenamePretenders(event);
  threats_.clear();
  const ThreatLists* lists = enrichment_->threats.get();
  if (lists != nullptr && lists->has_hashes()) {
    for (const event::FieldView& field : event->fields) {
      if (field.value.size() < kShortestHash) continue;
      // "SHA1=...,MD5=...", as Sysmon has it, or the value itself.
      for (std::string_view part : Split(field.value, ',')) {
        part.remove_prefix(part.find('=') == part.npos ? 0 : part.find('=') + 1);
        AddThreat(lists->FindHash(part), part);
      }
    }
  }
  if (event->fields.size() > kMaxFields) return;
  // Never between the two ends: the event points into what is remembered.
  if (remembered_ + 2 > kMaxAddresses) {
    places_.clear();
    last_ = nullptr;
    remembered_ = 0;
  }
  Place& place = PlaceOf(tenant, event->site);
  EnrichEnd(place, event->src, kSource, event);
  EnrichEnd(place, event->dst, kTarget, event);
  if (lists != nullptr && lists->has_domains()) {
    for (const std::string_view host : {HostOfUrl(event->url), event->src.host, event->dst.host}) {
      AddThreat(lists->FindDomain(host), host);
    }
  }
  if (!threats_.empty()) event->fields.push_back({kThreat, threats_});
}

void Enricher::RenamePretenders(event::EventView* event) {
  renamed_.clear();
  for (event::FieldView& field : event->fields) {
    if (!field.name.starts_with(kPrefix)) continue;
    field.name = renamed_.emplace_back(fmt::format("{}{}", kPretender, field.name));
  }
}

void Enricher::AddThreat(const std::string* list, std::string_view indicator) {
  if (list != nullptr) AddThreat(fmt::format("{}:{}", *list, indicator));
}

void Enricher::AddThreat(std::string_view threat) {
  if (threat.empty() || threats_.size() > kMaxThreats) return;
  const auto known = Split(threats_, ' ');
  if (std::find(known.begin(), known.end(), threat) != known.end()) return;
  if (!threats_.empty()) threats_ += ' ';
  threats_ += threat;
}

void Enricher::EnrichEnd(Place& place, const event::EndpointView& end, const Names& names,
                         event::EventView* event) {
  const auto add = [event](std::string_view name, std::string_view value) {
    if (!value.empty()) event->fields.push_back({name, value});
  };
  std::string_view asset;
  if (!end.ip.empty()) {
    const Facts& facts = FactsOf(place, end.ip);
    asset = facts.asset;
    add(names.scope, facts.scope);
    add(names.country, facts.country);
    add(names.as_number, facts.as_number);
    add(names.as_name, facts.as_name);
    AddThreat(facts.threat);
  }
  if (asset.empty() && !end.host.empty() && enrichment_->assets != nullptr) {
    asset = enrichment_->assets->FindHost(place.tenant, end.host);
  }
  add(names.asset, asset);
}

Enricher::Place& Enricher::PlaceOf(std::string_view tenant, std::string_view site) {
  if (last_ != nullptr && last_->tenant == tenant && last_->site == site) return *last_;
  if (places_.size() >= kMaxPlaces) places_.clear();
  auto& place = places_[fmt::format("{}\n{}", tenant, site)];
  if (place == nullptr) {
    place = std::make_unique<Place>();
    place->tenant = tenant;
    place->site = site;
  }
  last_ = place.get();
  return *place;
}

const Enricher::Facts& Enricher::FactsOf(Place& place, const event::IpAddress& address) {
  const AddressKey key = KeyOf(address);
  const auto found = place.addresses.find(key);
  if (found != place.addresses.end()) return found->second;
  ++remembered_;
  Facts facts;
  const Enrichment& with = *enrichment_;
  if (IsHost(key)) {
    const bool is_internal =
        with.assets == nullptr ? IsPrivate(key) : with.assets->IsInternal(place.tenant, key);
    facts.scope = is_internal ? kInternal : kExternal;
    if (with.assets != nullptr) {
      facts.asset = with.assets->FindAddress(place.tenant, place.site, key);
    }
    if (!IsPrivate(key)) {
      GeoFacts geo;
      for (const auto& database : with.geo) database->AddFacts(key, &geo);
      facts.country = std::move(geo.country);
      facts.as_name = std::move(geo.as_name);
      if (geo.as_number != 0) facts.as_number = fmt::format("{}", geo.as_number);
      const std::string* list = with.threats == nullptr ? nullptr : with.threats->FindAddress(key);
      if (list != nullptr) facts.threat = fmt::format("{}:{}", *list, address.ToString());
    }
  }
  return place.addresses.emplace(key, std::move(facts)).first->second;
}

}  // namespace yagura::ingestion
