#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "services/ingestion/domain/enrichment/network.h"

namespace yagura::ingestion {

// What databases tell of an address; empty and 0 for what they do not.
struct GeoFacts {
  std::string country;     // ISO 3166-1, "JP"
  uint32_t as_number = 0;  // autonomous system
  std::string as_name;
};

// A file in MaxMind's format (GeoLite2-Country, -City, -ASN and what is made like them). The file
// is mapped: whoever replaces it puts a new one in its place (rename), never writes into it.
// Thread-safe.
class GeoDatabase {
 public:
  // INVALID_ARGUMENT where it is no such file, UNAVAILABLE where it cannot be read.
  static absl::StatusOr<std::shared_ptr<const GeoDatabase>> Open(const std::filesystem::path& file);
  ~GeoDatabase();
  GeoDatabase(const GeoDatabase&) = delete;
  GeoDatabase& operator=(const GeoDatabase&) = delete;

  // Adds what it knows of the address, and leaves what is known already.
  void AddFacts(const AddressKey& address, GeoFacts* facts) const;

 private:
  struct Impl;
  explicit GeoDatabase(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace yagura::ingestion
