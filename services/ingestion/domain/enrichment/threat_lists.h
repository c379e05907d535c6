#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/text/text.h"
#include "services/ingestion/domain/enrichment/network.h"

namespace yagura::ingestion {

// Addresses, domains and file hashes that somebody warns of. A list is a file "NAME.txt" of a
// folder: one a line, an address or network in CIDR notation, a domain (which stands for what is
// below it, too), or an MD5, SHA-1 or SHA-256 in hex; what follows a blank or '#' is a comment.
// Immutable, thread-safe.
class ThreatLists {
 public:
  static constexpr size_t kMaxLists = 255;
  static constexpr size_t kMaxFileBytes = 256u << 20;
  static constexpr size_t kMaxIndicators = 4'000'000;
  static constexpr size_t kMaxProblems = 100;

  // All lists of the folder, by name. A line that is none of these is left out and told in
  // `problems` as "NAME.txt:7: reason" (at most kMaxProblems of them). RESOURCE_EXHAUSTED where a
  // limit is passed, UNAVAILABLE where the folder or a file cannot be read.
  static absl::StatusOr<std::shared_ptr<const ThreatLists>> Load(
      const std::filesystem::path& folder, std::vector<std::string>* problems);

  // The name of the list that has it; null where none has. The first by name, where several have.
  const std::string* FindAddress(const AddressKey& address) const;
  const std::string* FindDomain(std::string_view host) const;
  // In hex, any case.
  const std::string* FindHash(std::string_view hex) const;

  bool has_domains() const { return !domains_.empty(); }
  bool has_hashes() const { return !hashes_.empty(); }
  size_t size() const { return addresses_.size() + domains_.size() + hashes_.size(); }
  size_t lists() const { return names_.size(); }

 private:
  ThreatLists() = default;
  // Why not, or empty.
  std::string AddLine(std::string_view line, uint8_t list);

  std::vector<std::string> names_;
  NetworkMap<uint8_t> addresses_;  // index of the name
  StringMap<uint8_t> domains_;     // in lower case
  StringMap<uint8_t> hashes_;      // bytes
};

}  // namespace yagura::ingestion
