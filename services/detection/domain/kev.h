#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/text/text.h"

namespace yagura::detection {

// CISA's catalogue of known exploited vulnerabilities, in the JSON form in which it is published:
// which products a CVE is about, and that it is exploited in the wild. Immutable, thread-safe.
class KevCatalog {
 public:
  struct Entry {
    std::string vendor;   // "Apache"
    std::string product;  // "Log4j2", "FortiOS, FortiProxy", "Multiple Products"
    std::string name;     // "Apache Log4j2 Remote Code Execution Vulnerability"
    std::string added;    // "2021-12-10"
    bool ransomware = false;
  };
  static constexpr size_t kMaxBytes = 64 << 20;
  static constexpr size_t kMaxEntries = 100'000;

  // INVALID_ARGUMENT (BAD_KEV) where it is not that document, or larger than the bounds. Texts are
  // cut after 200 bytes; an entry without a CVE id is passed over.
  static absl::StatusOr<std::shared_ptr<const KevCatalog>> Parse(std::string_view json);

  // Null where it is not listed. "CVE-2021-44228".
  const Entry* Find(std::string_view cve) const;
  size_t size() const { return entries_.size(); }

 private:
  StringMap<Entry> entries_;
};

}  // namespace yagura::detection
