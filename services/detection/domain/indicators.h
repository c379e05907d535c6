#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "common/text/text.h"
#include "services/detection/domain/engine/address.h"
#include "yagura/event/v1/event.pb.h"

// Lists of indicators of compromise, and which of them an event names.
namespace yagura::detection {

struct Indicator {
  enum class Type { kAddress, kNetwork, kDomain, kUrl, kHash };
  Type type = Type::kAddress;
  std::string shown;  // as it was given, without what makes it harmless ("[.]")
  std::string text;   // what is looked for in texts: lower case; of a URL without its scheme
  AddressBytes address{};
  int prefix = 128;  // of 128
};

inline constexpr size_t kMaxIndicatorText = 256 * 1024;
inline constexpr size_t kMaxIndicators = 2'000;

// One a line, or CSV, as IndicatorQuestion.text says; each once, in their order. INVALID_ARGUMENT
// naming the line, for what is none, for networks wider than /8 (IPv6: /16), for domains without a
// dot, and beyond the bounds.
absl::StatusOr<std::vector<Indicator>> ParseIndicators(std::string_view text);

// Finds indicators in events. Immutable.
class IndicatorMatcher {
 public:
  explicit IndicatorMatcher(std::vector<Indicator> indicators);

  const std::vector<Indicator>& indicators() const { return indicators_; }

  // Questions to the archive that together find every event which names an indicator: filters of
  // bounded size over the indicators [first, last).
  struct Part {
    std::string filter;
    size_t first = 0;
    size_t last = 0;
  };
  const std::vector<Part>& parts() const { return parts_; }

  // An indicator that the event names, and where.
  struct Named {
    size_t indicator = 0;
    std::string_view field;
  };
  // Each once, the first of the list first, at most 16.
  std::vector<Named> Find(const event::v1::Event& event) const;

 private:
  void MakeParts();
  void LookAtAddress(std::string_view bytes, std::string_view field,
                     std::vector<Named>& found) const;
  void LookAtText(std::string_view text, std::string_view field, std::vector<Named>& found) const;
  void LookAtWord(std::string_view word, std::string_view field, std::vector<Named>& found) const;

  std::vector<Indicator> indicators_;  // addresses and networks first
  StringMap<size_t> addresses_;        // by their 16 bytes
  std::vector<size_t> networks_;
  StringMap<size_t> words_;              // domains and hashes
  StringMap<std::vector<size_t>> urls_;  // by their host names
  std::vector<Part> parts_;
};

}  // namespace yagura::detection
