#include "services/notification/domain/grouping.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/digest/sha256.h"
#include "common/text/printable.h"

namespace yagura::notification {
namespace {

constexpr int kMaxTags = 50;
constexpr int kMaxEntities = 20;
constexpr int kMaxSampleLines = 5;
constexpr size_t kMaxSampleBytes = 500;

template <typename Texts>
void AddOnce(Texts& texts, std::string text, int limit) {
  if (texts.size() >= limit) return;
  if (std::find(texts.begin(), texts.end(), text) != texts.end()) return;
  *texts.Add() = std::move(text);
}

std::string_view EntityTypeText(detection::v1::EntityType type) {
  switch (type) {
    case detection::v1::IP_ADDRESS:
      return "address";
    case detection::v1::HOST:
      return "host";
    case detection::v1::USER:
      return "user";
    case detection::v1::FILE:
      return "file";
    case detection::v1::URL:
      return "url";
    case detection::v1::FILE_HASH:
      return "hash";
    case detection::v1::VULNERABILITY:
      return "vulnerability";
    case detection::v1::PRODUCT:
      return "product";
    case detection::v1::ASSET:
      return "asset";
    default:
      return "entity";
  }
}

bool Before(const google::protobuf::Timestamp& a, const google::protobuf::Timestamp& b) {
  return std::pair(a.seconds(), a.nanos()) < std::pair(b.seconds(), b.nanos());
}

void Widen(v1::Alert& alert, const detection::v1::Finding& finding) {
  if (finding.has_first_event_time() &&
      (!alert.has_first_event_time() ||
       Before(finding.first_event_time(), alert.first_event_time()))) {
    *alert.mutable_first_event_time() = finding.first_event_time();
  }
  if (finding.has_last_event_time() &&
      (!alert.has_last_event_time() ||
       Before(alert.last_event_time(), finding.last_event_time()))) {
    *alert.mutable_last_event_time() = finding.last_event_time();
  }
  if (finding.has_create_time() && (!alert.has_last_finding_time() ||
                                    Before(alert.last_finding_time(), finding.create_time()))) {
    *alert.mutable_last_finding_time() = finding.create_time();
  }
}

void TakeImpact(v1::Alert& alert, const detection::v1::Finding& finding) {
  if (finding.impact().level() > alert.impact().level()) {
    *alert.mutable_impact() = finding.impact();
  }
}

// The finding's name and how many of its events are counted, at the same place.
void Remember(v1::Alert& alert, const detection::v1::Finding& finding) {
  auto& names = *alert.mutable_findings();
  auto& counts = *alert.mutable_finding_event_counts();
  counts.Resize(names.size(), 0);
  if (const int excess = names.size() - kRememberedFindings + 1; excess > 0) {
    names.DeleteSubrange(0, excess);
    counts.erase(counts.begin(), counts.begin() + excess);
  }
  *names.Add() = finding.name();
  counts.Add(finding.event_count());
}

// Counts what the finding has gained since it was counted.
void CountGrowth(v1::Alert& alert, const detection::v1::Finding& finding) {
  const auto& names = alert.findings();
  const auto at =
      static_cast<int>(std::find(names.begin(), names.end(), finding.name()) - names.begin());
  if (at >= alert.finding_event_counts_size()) return;
  const uint64_t counted = alert.finding_event_counts(at);
  if (counted == 0 || finding.event_count() <= counted) return;
  alert.set_event_count(alert.event_count() + finding.event_count() - counted);
  alert.set_finding_event_counts(at, finding.event_count());
}

}  // namespace

std::string GroupKey(const detection::v1::Finding& finding) {
  return finding.dedup_key().empty() ? Sha256Hex("finding\n" + finding.name())
                                     : Sha256Hex("key\n" + finding.dedup_key());
}

std::string AlertId(std::string_view group_key, uint32_t generation) {
  return fmt::format("{}-{}", group_key.substr(0, 24), generation);
}

Placement Place(const v1::Alert& alert, const detection::v1::Finding& finding,
                std::chrono::seconds window) {
  const auto& names = alert.findings();
  if (std::find(names.begin(), names.end(), finding.name()) != names.end()) {
    return Placement::kKnown;
  }
  if (alert.state() == v1::RESOLVED) return Placement::kOpensNext;
  if (window.count() > 0 && alert.has_last_finding_time() && finding.has_create_time() &&
      FromProto(finding.create_time()) - FromProto(alert.last_finding_time()) > window) {
    return Placement::kOpensNext;
  }
  return Placement::kJoins;
}

v1::Alert OpenAlert(std::string_view tenant, const detection::v1::Finding& finding,
                    uint32_t generation) {
  v1::Alert alert;
  alert.set_group_key(GroupKey(finding));
  alert.set_generation(generation);
  alert.set_name(
      fmt::format("tenants/{}/alerts/{}", tenant, AlertId(alert.group_key(), generation)));
  alert.set_state(v1::OPEN);
  alert.set_title(Printable(finding.title(), 300));
  alert.set_description(Printable(finding.description(), 2000));
  alert.set_rule_id(finding.rule_id());
  alert.set_device(finding.device());
  alert.set_site(finding.site());
  alert.set_action(finding.action());
  if (!finding.advice().texts().empty()) *alert.mutable_advice() = finding.advice().texts(0);
  Join(alert, finding);
  return alert;
}

void Join(v1::Alert& alert, const detection::v1::Finding& finding) {
  Remember(alert, finding);
  alert.set_finding_count(alert.finding_count() + 1);
  alert.set_event_count(alert.event_count() + finding.event_count());
  alert.set_severity(std::max(alert.severity(), finding.severity()));
  Widen(alert, finding);
  TakeImpact(alert, finding);
  for (const std::string& tag : finding.tags()) {
    AddOnce(*alert.mutable_tags(), Printable(tag, 100), kMaxTags);
  }
  for (const auto& entity : finding.entities()) {
    AddOnce(*alert.mutable_entities(),
            fmt::format("{} {} {}", Printable(entity.role(), 40), EntityTypeText(entity.type()),
                        Printable(entity.value(), 200)),
            kMaxEntities);
  }
  for (const auto& evidence : finding.evidence()) {
    AddOnce(*alert.mutable_sample_lines(), Printable(evidence.raw(), kMaxSampleBytes),
            kMaxSampleLines);
  }
}

void Grow(v1::Alert& alert, const detection::v1::Finding& finding) {
  CountGrowth(alert, finding);
  Widen(alert, finding);
  TakeImpact(alert, finding);
}

}  // namespace yagura::notification
