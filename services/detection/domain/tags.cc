#include "services/detection/domain/tags.h"

#include <algorithm>
#include <array>

#include "common/text/text.h"
#include "services/detection/domain/findings.h"

namespace yagura::detection {
namespace {

constexpr size_t kMaxCves = 8;
constexpr size_t kMaxSearched = 4096;

// Tactics of ATT&CK for enterprises, mobile devices and industrial control systems.
constexpr auto kTactics = std::to_array<std::string_view>({"collection",
                                                           "command-and-control",
                                                           "credential-access",
                                                           "defense-evasion",
                                                           "discovery",
                                                           "evasion",
                                                           "execution",
                                                           "exfiltration",
                                                           "impact",
                                                           "impair-process-control",
                                                           "inhibit-response-function",
                                                           "initial-access",
                                                           "lateral-movement",
                                                           "network-effects",
                                                           "persistence",
                                                           "privilege-escalation",
                                                           "reconnaissance",
                                                           "remote-service-effects",
                                                           "resource-development",
                                                           "stealth"});
static_assert(std::ranges::is_sorted(kTactics));

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

size_t DigitsAt(std::string_view text, size_t at) {
  size_t end = at;
  while (end < text.size() && IsDigit(text[end])) ++end;
  return end - at;
}

// The CVE id at the start of a text that begins with its year; empty where there is none.
std::string CveFromYear(std::string_view text) {
  if (DigitsAt(text, 0) != 4 || text.size() < 6) return {};
  if (text[4] != '-' && text[4] != '_' && text[4] != '.') return {};
  const size_t digits = DigitsAt(text, 5);
  if (digits < 4 || digits > 10) return {};
  return "CVE-" + std::string(text.substr(0, 4)) + "-" + std::string(text.substr(5, digits));
}

void AddOnce(google::protobuf::RepeatedPtrField<std::string>& texts, std::string text) {
  if (text.empty() || std::find(texts.begin(), texts.end(), text) != texts.end()) return;
  *texts.Add() = std::move(text);
}

}  // namespace

std::vector<std::string> CvesIn(std::string_view text) {
  std::vector<std::string> cves;
  const std::string upper = ToUpper(text.substr(0, kMaxSearched));
  for (size_t at = upper.find("CVE"); at != std::string::npos; at = upper.find("CVE", at + 3)) {
    const size_t year = at + 3 < upper.size() && !IsDigit(upper[at + 3]) ? at + 4 : at + 3;
    if (year >= upper.size()) break;
    std::string cve = CveFromYear(std::string_view(upper).substr(year));
    if (cve.empty() || std::ranges::find(cves, cve) != cves.end()) continue;
    cves.push_back(std::move(cve));
    if (cves.size() == kMaxCves) break;
  }
  return cves;
}

std::string TechniqueOf(std::string_view tag) {
  constexpr std::string_view kPrefix = "attack.t";
  if (!tag.starts_with(kPrefix) || DigitsAt(tag, kPrefix.size()) != 4) return {};
  const size_t end = kPrefix.size() + 4;
  const bool has_sub =
      tag.size() > end && tag[end] == '.' && end + 1 + DigitsAt(tag, end + 1) == tag.size();
  if (tag.size() != end && (!has_sub || tag.size() != end + 4)) return {};
  return "T" + std::string(tag.substr(kPrefix.size()));
}

std::string TacticOf(std::string_view tag) {
  constexpr std::string_view kPrefix = "attack.";
  if (!tag.starts_with(kPrefix)) return {};
  std::string name(tag.substr(kPrefix.size()));
  std::ranges::replace(name, '_', '-');
  return std::ranges::binary_search(kTactics, name) ? name : std::string();
}

std::string CveOf(std::string_view tag) {
  constexpr std::string_view kPrefix = "cve.";
  return tag.starts_with(kPrefix) ? CveFromYear(tag.substr(kPrefix.size())) : std::string();
}

void AddTagFacts(v1::Finding& finding) {
  for (const std::string& tag : finding.tags()) {
    AddOnce(*finding.mutable_attack_tactics(), TacticOf(tag));
    AddOnce(*finding.mutable_attack_techniques(), TechniqueOf(tag));
    const std::string cve = CveOf(tag);
    if (cve.empty()) continue;
    v1::Entity entity;
    entity.set_type(v1::VULNERABILITY);
    entity.set_value(cve);
    entity.set_role("exploited");
    AddEntity(entity, finding);
  }
}

}  // namespace yagura::detection
