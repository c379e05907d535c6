#include <map>

#include "common/auth/principal.h"

namespace yagura::auth {
namespace {

// What a role may do: permissions that fit one of `allow` and none of `deny`. A pattern's '*'
// stands for any text, dots included.
struct RoleDefinition {
  std::vector<std::string_view> allow;
  std::vector<std::string_view> deny;
};

// Verbs that look without touching.
const std::vector<std::string_view> kReads = {
    "*.get", "*.list", "*.search", "*.watch",    "*.count",   "*.histogram", "*.aggregate",
    "*.top", "*.tail", "*.diff",   "*.download", "*.preview", "*.verify",    "*.analyze",
};

// What a customer's own people see of their tenant: results, never the provider's kitchen.
const std::vector<std::string_view> kCustomerReads = {
    "archive.*.search",
    "archive.*.count",
    "archive.*.histogram",
    "archive.*.top",
    "archive.*.aggregate",
    "archive.*.tail",
    "archive.*.get",
    "detection.findings.get",
    "detection.findings.list",
    "detection.hunt_results.get",
    "detection.hunt_results.list",
    "notification.alerts.get",
    "notification.alerts.list",
    "ticketing.tickets.get",
    "ticketing.tickets.list",
    "ticketing.tickets.watch",
    "ticketing.comments.get",
    "ticketing.comments.list",
    "config.changes.get",
    "config.changes.list",
    "config.devices.get",
    "config.devices.list",
    "reporting.*.get",
    "reporting.*.list",
    "reporting.*.download",
    "directory.tenants.get",
    "directory.tenants.list",
    "directory.sites.get",
    "directory.sites.list",
    "directory.self.get",
    "directory.assets.get",
    "directory.assets.list",
    "archive.coverage.list",
    "archive.measures.list",
    "detection.observations.get",
    "detection.observation_policies.get",
    "detection.rule_tunings.get",
    "detection.rule_tunings.list",
};

// Kept from whoever is not named for it explicitly.
const std::vector<std::string_view> kGuarded = {
    "audit.*",
    "config.snapshots.reveal",
    "config.changes.approve",
    "config.changes.reject",
    "config.credentials.*",
    "directory.api_keys.*",
    "detection.dead_letters.*",
};

std::vector<std::string_view> operator+(std::vector<std::string_view> a,
                                        const std::vector<std::string_view>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::vector<std::string_view> Without(std::vector<std::string_view> list,
                                      const std::vector<std::string_view>& items) {
  for (std::string_view item : items) std::erase(list, item);
  return list;
}

using Table = std::map<std::string_view, RoleDefinition>;

Table MakeTable() {
  const std::vector<std::string_view> internal_comments = {"ticketing.comments.internal"};
  const std::vector<std::string_view> triage = {
      "ticketing.*",          "notification.alerts.*", "notification.silences.*",
      "detection.findings.*", "archive.*.export",      "detection.rules.test",
      "detection.hunts.*",    "reporting.*.run",       "reporting.*.create",
  };
  // Nobody but the account's administrators ends a ticket's existence.
  const std::vector<std::string_view> destructive = {"ticketing.tickets.delete"};
  Table table;
  table["viewer"] = {kReads + internal_comments, kGuarded};
  table["analyst"] = {kReads + triage + std::vector<std::string_view>{"audit.records.list"},
                      Without(kGuarded, {"audit.*"}) + destructive +
                          std::vector<std::string_view>{"audit.records.export"}};
  table["engineer"] = {kReads + triage +
                           std::vector<std::string_view>{
                               "config.*", "detection.*", "ingestion.*", "notification.*",
                               "directory.assets.*", "directory.sites.*", "directory.sources.*"},
                       Without(kGuarded, {"config.snapshots.reveal", "config.credentials.*",
                                          "detection.dead_letters.*"}) +
                           destructive};
  table["approver"] = {
      kReads + internal_comments +
          std::vector<std::string_view>{"config.changes.approve", "config.changes.reject",
                                        "ticketing.comments.create", "audit.records.list"},
      Without(kGuarded, {"config.changes.approve", "config.changes.reject", "audit.*"})};
  // Woken at night: reads everything, answers pages, works tickets; changes wait for an engineer.
  table["on-call"] = {kReads + triage, kGuarded + destructive};
  table["customer-viewer"] = {
      kCustomerReads +
          std::vector<std::string_view>{"ticketing.comments.create", "ticketing.tickets.create"},
      internal_comments};
  table["customer-approver"] = {
      kCustomerReads +
          std::vector<std::string_view>{"ticketing.comments.create", "ticketing.tickets.create",
                                        "config.changes.approve", "config.changes.reject"},
      internal_comments};
  // A relay or a sender of logs: a key that is stolen from a machine out there can add lines, and
  // read nothing but its own name.
  table["collector"] = {{"ingestion.events.push", "directory.self.get"}, {}};
  table["admin"] = {{"*"}, {}};
  // A service by itself does whatever work needs; what asks for a person's judgement is not work.
  table["service"] = {
      {"*"}, {"config.changes.approve", "config.changes.reject", "config.snapshots.reveal"}};
  return table;
}

const Table& Definitions() {
  static const Table kTable = MakeTable();
  return kTable;
}

// '*' stands for any text; everything else for itself.
bool Matches(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t mark = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool MatchesAny(const std::vector<std::string_view>& patterns, std::string_view text) {
  for (std::string_view pattern : patterns) {
    if (Matches(pattern, text)) return true;
  }
  return false;
}

}  // namespace

const std::vector<std::string>& Roles() {
  static const std::vector<std::string> kRoles = {
      "viewer",          "analyst",           "engineer",  "approver", "on-call",
      "customer-viewer", "customer-approver", "collector", "admin",    "service"};
  return kRoles;
}

bool RoleGrants(std::string_view role, std::string_view permission) {
  if (permission.empty() || permission.find('*') != std::string_view::npos) return false;
  const auto found = Definitions().find(role);
  if (found == Definitions().end()) return false;
  return MatchesAny(found->second.allow, permission) && !MatchesAny(found->second.deny, permission);
}

bool ServiceMayPassOn(std::string_view permission) {
  // Whoever wants the bare text of a configuration shows their own token.
  return !permission.empty() && permission != "config.snapshots.reveal";
}

}  // namespace yagura::auth
