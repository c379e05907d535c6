#include "services/notification/domain/message.h"

#include <algorithm>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/text/printable.h"
#include "common/text/text.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::notification {
namespace {

constexpr size_t kMaxSubject = 200;

std::string TenantOfName(const std::string& name) {
  const auto parts = Split(name, '/');
  return parts.size() > 1 ? std::string(parts[1]) : std::string();
}

std::string SeverityText(event::v1::Severity severity) {
  return severity == event::v1::SEVERITY_UNSPECIFIED ? "UNKNOWN"
                                                     : event::v1::Severity_Name(severity);
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return FormatTime(FromProto(time));
}

std::string_view ActionText(event::v1::Action action) {
  switch (action) {
    case event::v1::ALLOWED:
      return "the device let it through";
    case event::v1::BLOCKED:
      return "the device blocked it";
    case event::v1::DETECTED:
      return "the device reported it and let it through";
    default:
      return "";
  }
}

// "Label:        value", left out where there is none.
void AddLine(std::string& body, std::string_view label, std::string_view value) {
  if (!value.empty()) body += fmt::format("{:<14}{}\n", fmt::format("{}:", label), value);
}

void AddList(std::string& body, std::string_view title,
             const google::protobuf::RepeatedPtrField<std::string>& lines) {
  if (lines.empty()) return;
  body += fmt::format("\n{}\n", title);
  for (const std::string& line : lines) body += fmt::format("  {}\n", Printable(line, 600));
}

// "VULNERABLE (medium confidence)"; empty where nobody has judged it.
std::string ImpactText(const detection::v1::Impact& impact) {
  using detection::v1::Impact;
  if (impact.level() == detection::v1::IMPACT_LEVEL_UNSPECIFIED) return "";
  std::string level = detection::v1::ImpactLevel_Name(impact.level());
  std::replace(level.begin(), level.end(), '_', ' ');
  if (impact.confidence() == Impact::CONFIDENCE_UNSPECIFIED) return level;
  return fmt::format("{} ({} confidence)", level,
                     ToLower(Impact::Confidence_Name(impact.confidence())));
}

// Advice is ours, but for the values in it; those are printable already.
void AddAdvice(std::string& body, const detection::v1::AdviceText& advice) {
  if (advice.title().empty()) return;
  const bool japanese = advice.language() == "ja";
  body += fmt::format("\n{}\n", Printable(advice.title(), 300));
  body +=
      fmt::format("\n{}\n  {}\n", japanese ? "原因:" : "Cause:", Printable(advice.cause(), 8000));
  body += fmt::format("\n{}\n  {}\n",
                      japanese ? "対策:" : "What to do:", Printable(advice.countermeasure(), 8000));
}

std::string Subject(const v1::Alert& alert) {
  return Printable(fmt::format("[{}] {}: {}", SeverityText(alert.severity()),
                               TenantOfName(alert.name()), alert.title()),
                   kMaxSubject);
}

// Members of a JSON object, each with its comma.
class JsonObject {
 public:
  void Text(std::string_view key, std::string_view value) { Raw(key, QuoteJson(value)); }
  void Number(std::string_view key, uint64_t value) { Raw(key, fmt::format("{}", value)); }
  void Time(std::string_view key, bool is_set, const google::protobuf::Timestamp& value) {
    if (is_set) Text(key, TimeText(value));
  }
  void Texts(std::string_view key, const google::protobuf::RepeatedPtrField<std::string>& values) {
    std::string list;
    for (const std::string& value : values) {
      if (!list.empty()) list += ',';
      list += QuoteJson(value);
    }
    Raw(key, fmt::format("[{}]", list));
  }
  void Raw(std::string_view key, std::string_view json) {
    members_ += fmt::format("{}{}:{}", members_.empty() ? "" : ",", QuoteJson(key), json);
  }
  std::string str() const { return fmt::format("{{{}}}", members_); }

 private:
  std::string members_;
};

}  // namespace

Text MailText(const v1::Alert& alert, const std::string& portal_url) {
  std::string body;
  body += fmt::format("{}\n\n", Printable(alert.title(), 300));
  AddLine(body, "Severity", SeverityText(alert.severity()));
  AddLine(body, "Impact", ImpactText(alert.impact()));
  AddLine(body, "Tenant", TenantOfName(alert.name()));
  AddLine(body, "Site", Printable(alert.site(), 100));
  AddLine(body, "Device", Printable(alert.device(), 100));
  AddLine(body, "Action", ActionText(alert.action()));
  if (alert.has_first_event_time())
    AddLine(body, "First event", TimeText(alert.first_event_time()));
  if (alert.has_last_event_time()) AddLine(body, "Last event", TimeText(alert.last_event_time()));
  AddLine(body, "Events", fmt::format("{}", alert.event_count()));
  AddLine(body, "Findings", fmt::format("{}", alert.finding_count()));
  AddLine(body, "Rule", Printable(alert.rule_id(), 100));
  AddLine(body, "Tags", Printable(Join(alert.tags(), ", "), 500));
  AddLine(body, "Alert", alert.name());
  if (!portal_url.empty()) AddLine(body, "Open", fmt::format("{}/{}", portal_url, alert.name()));
  if (!alert.description().empty())
    body += fmt::format("\n{}\n", Printable(alert.description(), 2000));
  AddList(body, "Impact, because:", alert.impact().reasons());
  AddAdvice(body, alert.advice());
  AddList(body, "Who and what is involved:", alert.entities());
  AddList(body, "First lines:", alert.sample_lines());
  body += "\nTimes are UTC. You are told once a severity; acknowledge the alert to take it.\n";
  return {Subject(alert), std::move(body)};
}

Text WebhookText(const v1::Alert& alert) {
  JsonObject json;
  json.Text("name", alert.name());
  json.Text("tenant", TenantOfName(alert.name()));
  json.Text("state", v1::AlertState_Name(alert.state()));
  json.Text("severity", SeverityText(alert.severity()));
  json.Text("title", alert.title());
  json.Text("description", alert.description());
  json.Text("ruleId", alert.rule_id());
  json.Text("device", alert.device());
  json.Text("site", alert.site());
  if (alert.impact().level() != detection::v1::IMPACT_LEVEL_UNSPECIFIED) {
    JsonObject impact;
    impact.Text("level", detection::v1::ImpactLevel_Name(alert.impact().level()));
    impact.Text("confidence", detection::v1::Impact::Confidence_Name(alert.impact().confidence()));
    impact.Texts("reasons", alert.impact().reasons());
    impact.Texts("assets", alert.impact().assets());
    impact.Texts("knownExploited", alert.impact().known_exploited());
    json.Raw("impact", impact.str());
  }
  if (!alert.advice().title().empty()) {
    JsonObject advice;
    advice.Text("language", alert.advice().language());
    advice.Text("title", alert.advice().title());
    advice.Text("cause", alert.advice().cause());
    advice.Text("countermeasure", alert.advice().countermeasure());
    json.Raw("advice", advice.str());
  }
  json.Texts("tags", alert.tags());
  json.Texts("entities", alert.entities());
  json.Texts("sampleLines", alert.sample_lines());
  json.Number("findingCount", alert.finding_count());
  json.Number("eventCount", alert.event_count());
  json.Time("firstEventTime", alert.has_first_event_time(), alert.first_event_time());
  json.Time("lastEventTime", alert.has_last_event_time(), alert.last_event_time());
  google::protobuf::RepeatedPtrField<std::string> latest;  // the message stays small
  for (int i = std::max(0, alert.findings_size() - 20); i < alert.findings_size(); ++i) {
    *latest.Add() = alert.findings(i);
  }
  json.Texts("findings", latest);
  JsonObject envelope;
  envelope.Text("type", "alert");
  envelope.Raw("alert", json.str());
  return {Subject(alert), envelope.str()};
}

Text TestMailText(const v1::Contact& contact) {
  const std::string who = Printable(contact.display_name(), 200);
  return {
      "[TEST] Yagura can reach you",
      fmt::format("This is a test of the way to {} ({}).\n\nNothing happened, and nothing is to "
                  "be done.\n",
                  who, contact.name())};
}

Text TestWebhookText(const v1::Contact& contact) {
  JsonObject json;
  json.Text("type", "test");
  json.Text("contact", contact.name());
  return {"[TEST] Yagura can reach you", json.str()};
}

}  // namespace yagura::notification
