#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "common/event/event_view.h"
#include "common/text/text.h"
#include "services/ingestion/domain/enrichment/asset_map.h"
#include "services/ingestion/domain/enrichment/geo_database.h"
#include "services/ingestion/domain/enrichment/threat_lists.h"

namespace yagura::ingestion {

// What events are enriched with, as it stands. Immutable; a null part is not there.
struct Enrichment {
  std::shared_ptr<const AssetMap> assets;
  std::vector<std::shared_ptr<const GeoDatabase>> geo;
  std::shared_ptr<const ThreatLists> threats;
};

// The enrichment in force. Thread-safe.
class CurrentEnrichment {
 public:
  // Changes with every Set; cheap, for every line.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  std::shared_ptr<const Enrichment> Get() const {
    const std::lock_guard lock(mutex_);
    return enrichment_;
  }
  void Set(std::shared_ptr<const Enrichment> enrichment) {
    const std::lock_guard lock(mutex_);
    enrichment_ = std::move(enrichment);
    version_.fetch_add(1, std::memory_order_release);
  }

 private:
  std::atomic<uint64_t> version_{0};
  mutable std::mutex mutex_;
  std::shared_ptr<const Enrichment> enrichment_ = std::make_shared<Enrichment>();
};

// Adds to events what is known of their ends, as fields behind those of the line:
//
//   enriched.src.asset      id of the tenant's asset that has the address, or the host name
//   enriched.src.scope      "internal" (private, or of a network of the tenant's sites) or
//   "external" enriched.src.country    ISO 3166-1, of a public address enriched.src.as_number
//   autonomous system of a public address enriched.src.as_name    and who has it enriched.dst....
//   alike enriched.threat         what is on a threat list, as "list:203.0.113.5", with blanks
//   between
//
// A field of the line itself that is called so is given the prefix "device.", so that nobody can
// pretend. What was found of an address is kept, for each tenant and site apart. One object serves
// one thread.
class Enricher {
 public:
  explicit Enricher(std::shared_ptr<const CurrentEnrichment> current)
      : current_(std::move(current)) {}

  // The event's site must be set. What it gets points into this object and is valid until the next
  // call.
  void Enrich(std::string_view tenant, event::EventView* event);

 private:
  // Addresses remembered of all tenants and sites, of some 250 bytes each.
  static constexpr size_t kMaxAddresses = 1 << 16;
  static constexpr size_t kMaxPlaces = 4096;

  struct Facts {
    std::string asset;
    std::string_view scope;  // empty: nobody's address
    std::string country;
    std::string as_number;
    std::string as_name;
    std::string threat;  // "list:address"
  };
  // The names of the fields of one end.
  struct Names {
    std::string_view asset, scope, country, as_number, as_name;
  };
  struct Place {
    std::string tenant;
    std::string site;
    std::unordered_map<AddressKey, Facts, AddressHash> addresses;
  };

  Place& PlaceOf(std::string_view tenant, std::string_view site);
  const Facts& FactsOf(Place& place, const event::IpAddress& address);
  void EnrichEnd(Place& place, const event::EndpointView& end, const Names& names,
                 event::EventView* event);
  void AddThreat(const std::string* list, std::string_view indicator);
  void AddThreat(std::string_view threat);
  // Fields of the line that are called as ours.
  void RenamePretenders(event::EventView* event);

  const std::shared_ptr<const CurrentEnrichment> current_;
  uint64_t version_ = ~uint64_t{0};
  std::shared_ptr<const Enrichment> enrichment_;
  StringMap<std::unique_ptr<Place>> places_;  // by tenant and site
  Place* last_ = nullptr;
  size_t remembered_ = 0;  // addresses
  // Of the event in hand.
  std::string threats_;
  std::deque<std::string> renamed_;
};

}  // namespace yagura::ingestion
