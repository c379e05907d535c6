#include "cli/commands/rule_reads.h"

#include <algorithm>
#include <iostream>
#include <map>

#include "fmt/format.h"

#include "common/text/text.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"

namespace yagura::cli {
namespace {

using detection::v1::DetectionService;
using detection::v1::Rule;
using detection::v1::RuleTuning;
using google::protobuf::Message;

constexpr std::string_view kProvider = "provider";
constexpr size_t kMaxTunings = 10'000;

std::string_view LastPart(std::string_view name) { return name.substr(name.rfind('/') + 1); }

// "acme" of "tenants/acme/ruleTunings/1".
std::string_view TenantOf(std::string_view name) {
  const size_t begin = name.find('/') + 1;
  return name.substr(begin, name.find('/', begin) - begin);
}

bool IsOfProvider(const Rule& rule) { return TenantOf(rule.name()) == kProvider; }

// What was agreed with the tenants of `parent` (all, for "tenants/-") that changes whether rules
// are matched or told; by rule.
absl::StatusOr<std::multimap<std::string, RuleTuning>> ReadStates(Client& client,
                                                                  const std::string& parent) {
  constexpr int kPage = 1000;
  std::multimap<std::string, RuleTuning> states;
  detection::v1::ListRuleTuningsRequest request;
  request.set_parent(parent);
  request.set_page_size(kPage);
  for (size_t read = 0; read < kMaxTunings;) {
    YAGURA_ASSIGN_OR_RETURN(const auto page,
                            client.Call(&DetectionService::Stub::ListRuleTunings, request));
    for (const auto& tuning : page.rule_tunings()) {
      if (tuning.state() == detection::v1::RULE_STATE_UNSPECIFIED &&
          tuning.match() != RuleTuning::OFF) {
        continue;
      }
      states.emplace(LastPart(tuning.name()), tuning);
    }
    read += static_cast<size_t>(page.rule_tunings_size());
    if (page.next_page_token().empty()) break;
    request.set_page_token(page.next_page_token());
  }
  return states;
}

// The provider's rule as it is for the tenant of the tuning.
void ShowTuned(const RuleTuning& tuning, Rule& rule) {
  if (tuning.state() != detection::v1::RULE_STATE_UNSPECIFIED) {
    rule.set_state(tuning.state());
    rule.set_state_reason(tuning.state_reason());
    rule.set_state_changed_by(tuning.state_changed_by());
    *rule.mutable_state_change_time() = tuning.state_change_time();
    rule.clear_mute_expire_time();
    if (tuning.has_mute_expire_time()) {
      *rule.mutable_mute_expire_time() = tuning.mute_expire_time();
    }
    rule.set_enabled(rule.state() != detection::v1::DRAFT &&
                     rule.state() != detection::v1::RETIRED);
  }
  if (tuning.match() == RuleTuning::OFF) rule.set_enabled(false);
}

absl::StatusOr<Rule> ProvidersRule(Client& client, std::string_view id) {
  detection::v1::GetRuleRequest request;
  request.set_name(ResourceName(kProvider, "rules", id));
  return client.Call(&DetectionService::Stub::GetRule, request);
}

// Behind a tenant's own rules those of the provider that are not there as they are for all.
absl::Status AddTuned(Client& client, const std::string& parent,
                      detection::v1::ListRulesResponse& response) {
  YAGURA_ASSIGN_OR_RETURN(const auto states, ReadStates(client, parent));
  for (const auto& [id, tuning] : states) {
    const bool own = std::ranges::any_of(
        response.rules(), [&](const Rule& rule) { return LastPart(rule.name()) == id; });
    if (own) continue;
    auto rule = ProvidersRule(client, id);
    if (rule.status().code() == absl::StatusCode::kNotFound) continue;  // deleted since
    if (!rule.ok()) return rule.status();
    ShowTuned(tuning, *rule);
    *response.add_rules() = *std::move(rule);
  }
  return absl::OkStatus();
}

// "ACTIVE (acme: MUTED, other: off)".
std::string StateText(const Rule& rule, const std::multimap<std::string, RuleTuning>& states) {
  std::string text = Cell(rule, "state");
  if (!IsOfProvider(rule)) return text;
  std::string elsewhere;
  const auto [begin, end] = states.equal_range(std::string(LastPart(rule.name())));
  for (auto at = begin; at != end; ++at) {
    const RuleTuning& tuning = at->second;
    elsewhere += fmt::format("{}{}: {}", elsewhere.empty() ? "" : ", ", TenantOf(tuning.name()),
                             tuning.match() == RuleTuning::OFF ? "off" : Cell(tuning, "state"));
  }
  return elsewhere.empty() ? text : fmt::format("{} ({})", text, elsewhere);
}

absl::Status List(Program& program, Client& client, const ListOptions& options) {
  const bool of_tenant = options.parent != "tenants/-" && TenantOf(options.parent) != kProvider;
  // Whoever may not read what was agreed sees the rules all the same.
  std::multimap<std::string, RuleTuning> states;
  if (!of_tenant && program.format() == Format::kTable) {
    if (auto read = ReadStates(client, "tenants/-"); read.ok()) states = *std::move(read);
  }
  const auto state = [&](const Message& row) {
    return StateText(dynamic_cast<const Rule&>(row), states);
  };
  return PrintPages(
      options, program.format(),
      {{"TITLE", "title"},
       {"SEVERITY", "severity"},
       {"KIND", "kind"},
       {"ENABLED", "enabled"},
       {"STATE", "", 60, state},
       {"UNTIL", "mute_expire_time"},
       {"VERSION", "version"},
       {"NAME", "name", 80}},
      [&](const std::function<void(Message&)>& fill) -> absl::StatusOr<std::unique_ptr<Message>> {
        detection::v1::ListRulesRequest request;
        fill(request);
        YAGURA_ASSIGN_OR_RETURN(auto response,
                                client.Call(&DetectionService::Stub::ListRules, request));
        for (const auto& name : response.unreadable()) {
          std::cerr << "cannot be read, not in force: " << EscapeForTerminal(name) << "\n";
        }
        if (of_tenant && options.filter.empty() && response.next_page_token().empty()) {
          if (const auto added = AddTuned(client, options.parent, response);
              !added.ok() && added.code() != absl::StatusCode::kPermissionDenied) {
            return added;
          }
        }
        return std::make_unique<detection::v1::ListRulesResponse>(std::move(response));
      });
}

// A provider's rule named under a tenant is the rule as it is for that tenant.
absl::StatusOr<Rule> Get(Client& client, const std::string& name) {
  detection::v1::GetRuleRequest request;
  request.set_name(name);
  auto own = client.Call(&DetectionService::Stub::GetRule, request);
  const std::string tenant(TenantOf(name));
  if (own.status().code() != absl::StatusCode::kNotFound || tenant == kProvider) return own;
  auto rule = ProvidersRule(client, LastPart(name));
  if (!rule.ok()) return own.status();
  detection::v1::GetRuleTuningRequest tuning_request;
  tuning_request.set_name(ResourceName(tenant, "ruleTunings", LastPart(name)));
  const auto tuning = client.Call(&DetectionService::Stub::GetRuleTuning, tuning_request);
  if (tuning.ok()) {
    ShowTuned(*tuning, *rule);
  } else if (tuning.status().code() != absl::StatusCode::kNotFound) {
    return tuning.status();
  }
  return rule;
}

}  // namespace

void AddRuleReads(Program& program, CLI::App& group) {
  struct Options {
    ListOptions list;
    std::string tenant;
  };
  auto options = std::make_shared<Options>();
  CLI::App& list = *group.add_subcommand("list", "Rules, and for whom they are in another state");
  list.add_option("--tenant", options->tenant,
                  "Tenant id: its own rules, and without --filter also the provider's that were "
                  "muted or changed for it; without it all that you may see");
  AddListOptions(list, options->list);
  program.DoConnected(list, [&program, options](Client& client) {
    options->list.parent = TenantParent(options->tenant);
    return List(program, client, options->list);
  });

  CLI::App& get = *group.add_subcommand(
      "get", "One rule with its text; a provider's under --tenant as it is for that tenant");
  auto named = AddNamedOptions(get, "rules", {}, false);
  program.DoConnected(get, [&program, named](Client& client) -> absl::Status {
    detection::v1::GetRuleRequest request;
    YAGURA_RETURN_IF_ERROR(FillNamed(request, *named, "rules", {}));
    YAGURA_ASSIGN_OR_RETURN(const auto rule, Get(client, request.name()));
    program.Print(rule);
    return absl::OkStatus();
  });

  CLI::App& versions = *group.add_subcommand(
      "versions", "The texts that a rule has had, the latest first: who wrote each, when and why");
  auto of = AddNamedOptions(versions, "rules", {}, false);
  auto version = std::make_shared<std::string>();
  versions.add_option("--version", *version,
                      "Print the text of this one: its number, or its version as findings name it");
  program.DoConnected(versions, [&program, of, version](Client& client) -> absl::Status {
    detection::v1::GetRuleHistoryRequest request;
    YAGURA_RETURN_IF_ERROR(FillNamed(request, *of, "rules", {}));
    request.set_version(*version);
    YAGURA_ASSIGN_OR_RETURN(const auto history,
                            client.Call(&DetectionService::Stub::GetRuleHistory, request));
    if (!version->empty() && program.format() == Format::kTable) {
      for (const auto& one : history.versions()) {
        for (const auto line : Split(Trim(one.text()), '\n')) {
          Write(EscapeForTerminal(line) + "\n");
        }
      }
      return absl::OkStatus();
    }
    Renderer renderer(program.format(), {{"NUMBER", "number"},
                                         {"VERSION", "version"},
                                         {"SINCE", "change_time"},
                                         {"BY", "changed_by", 50},
                                         {"REASON", "reason", 60},
                                         {"SOURCE", "source", 50},
                                         {"TITLE", "title"}});
    for (const auto& one : history.versions()) renderer.Add(one);
    Write(renderer.Finish());
    return absl::OkStatus();
  });
}

}  // namespace yagura::cli
