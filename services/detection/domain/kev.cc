#include "services/detection/domain/kev.h"

#include "fmt/format.h"

#include "common/status/status.h"
#include "services/detection/domain/tags.h"
#include "simdjson.h"

namespace yagura::detection {
namespace {

constexpr size_t kMaxText = 200;

Status Bad(std::string_view reason) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_KEV",
                   fmt::format("not a catalogue of known exploited vulnerabilities: {}", reason));
}

std::string TextOf(const simdjson::dom::object& object, std::string_view key) {
  std::string_view value;
  if (object.at_key(key).get(value) != simdjson::SUCCESS) return {};
  return ToValidUtf8(value.substr(0, kMaxText));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const KevCatalog>> KevCatalog::Parse(std::string_view json) {
  if (json.size() > kMaxBytes) return Bad(fmt::format("larger than {} bytes", kMaxBytes));
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  simdjson::dom::array list;
  if (const auto error = parser.parse(json.data(), json.size()).get(document)) {
    return Bad(simdjson::error_message(error));
  }
  if (document.at_key("vulnerabilities").get(list) != simdjson::SUCCESS) {
    return Bad("it has no list \"vulnerabilities\"");
  }
  auto catalog = std::make_shared<KevCatalog>();
  for (const simdjson::dom::element element : list) {
    simdjson::dom::object object;
    if (element.get(object) != simdjson::SUCCESS) return Bad("an entry is no object");
    const auto cves = CvesIn(TextOf(object, "cveID"));
    if (cves.size() != 1) continue;
    if (catalog->entries_.size() >= kMaxEntries) {
      return Bad(fmt::format("more than {} entries", kMaxEntries));
    }
    catalog->entries_[cves.front()] = {
        TextOf(object, "vendorProject"), TextOf(object, "product"),
        TextOf(object, "vulnerabilityName"), TextOf(object, "dateAdded"),
        EqualsIgnoreCase(TextOf(object, "knownRansomwareCampaignUse"), "Known")};
  }
  return catalog;
}

const KevCatalog::Entry* KevCatalog::Find(std::string_view cve) const {
  const auto found = entries_.find(cve);
  return found == entries_.end() ? nullptr : &found->second;
}

}  // namespace yagura::detection
