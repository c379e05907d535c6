#include "services/detection/domain/observation/destinations.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <tuple>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/text/printable.h"
#include "services/detection/domain/findings.h"
#include "services/detection/domain/observation/measures.h"

namespace yagura::detection {
namespace {

using archive::v1::Flow;
using archive::v1::PeriodicFlow;

constexpr size_t kShown = 10;
constexpr size_t kSearchedFor = 50;
constexpr int64_t kBeaconHours = 24;  // that are looked at together
constexpr size_t kManyHosts = 5;
constexpr size_t kMostText = 64;

std::string Text(std::string_view address) {
  return event::IpAddress::FromBytes(address).ToString();
}

std::string PlaceText(std::string_view address, uint32_t port, std::string_view protocol) {
  const std::string text = Text(address);
  const std::string host = address.size() == 16 ? "[" + text + "]" : text;
  if (port == 0) return host;
  return fmt::format("{}:{}{}", host, port,
                     protocol.empty() ? "" : "/" + Printable(protocol, kMostText));
}

void AddAddress(std::string_view address, const char* role, v1::Finding& finding) {
  v1::Entity entity;
  entity.set_type(v1::IP_ADDRESS);
  entity.set_value(Text(address));
  entity.set_role(role);
  AddEntity(entity, finding);
}

void AddTags(std::initializer_list<const char*> tactics,
             std::initializer_list<const char*> techniques, v1::Finding& finding) {
  for (const char* tactic : tactics) {
    finding.add_attack_tactics(tactic);
    finding.add_tags(fmt::format("attack.{}", tactic));
  }
  for (const char* technique : techniques) {
    finding.add_attack_techniques(technique);
    std::string tag = fmt::format("attack.{}", technique);
    std::transform(tag.begin(), tag.end(), tag.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    finding.add_tags(std::move(tag));
  }
}

std::string SpanText(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.1f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

double SpanOf(const PeriodicFlow& flow) {
  return std::chrono::duration<double>(FromProto(flow.last_time()) - FromProto(flow.first_time()))
      .count();
}

}  // namespace

std::vector<Flow> MayBeNew(const std::vector<Flow>& flows, const AddressSet& servers,
                           const AddressSet& agreed) {
  std::vector<Flow> fitting;
  std::copy_if(flows.begin(), flows.end(), std::back_inserter(fitting), [&](const Flow& flow) {
    return flow.verdict() == event::v1::ALLOWED && servers.Contains(flow.src_ip()) &&
           !servers.Contains(flow.dst_ip()) && IsPublicAddress(flow.dst_ip()) &&
           !agreed.Contains(flow.dst_ip());
  });
  return fitting;
}

std::string EventsFilter(const NewDestinations& facts, size_t most) {
  std::string places;
  for (size_t i = 0; i < std::min(facts.flows.size(), most); ++i) {
    places += fmt::format("{}dst.ip = {}", i == 0 ? "" : " OR ", Text(facts.flows[i].dst_ip()));
  }
  return fmt::format("NOT action = BLOCKED AND site = {} AND src.ip = {} AND ({})",
                     FilterValue(facts.site), Text(facts.server), places);
}

std::string NewDestinationKey(const NewDestinations& facts) {
  return MatterKey({"new", facts.site, facts.server});
}

Windows::Outcome NewDestinationOutcome(const NewDestinations& facts,
                                       const internal::v1::OpenMatter& matter) {
  Windows::Outcome outcome = MatterOutcome(facts.tenant, kNewDestinationRule, matter);
  v1::Finding& finding = outcome.finding;
  finding.set_title("A server reached a destination for the first time");
  finding.set_severity(event::v1::MEDIUM);
  finding.set_site(facts.site);
  finding.set_action(event::v1::ALLOWED);
  AddAddress(facts.server, "source", finding);
  std::string places;
  for (size_t i = 0; i < facts.flows.size(); ++i) {
    const Flow& flow = facts.flows[i];
    AddAddress(flow.dst_ip(), "target", finding);
    if (i >= kShown) continue;
    const std::string place = PlaceText(flow.dst_ip(), flow.dst_port(), flow.protocol());
    const std::string what =
        fmt::format("{} ({} events, {} out, {} in)", place, flow.event_count(),
                    AmountText(v1::UPLOADED_BYTES, static_cast<double>(flow.bytes_out())),
                    AmountText(v1::UPLOADED_BYTES, static_cast<double>(flow.bytes_in())));
    places += (i == 0 ? "" : ", ") + what;
    AddMatched("destination", what, finding);
  }
  if (facts.flows.size() > kShown) {
    places += fmt::format(", and {} more", facts.flows.size() - kShown);
  }
  finding.set_description(fmt::format(
      "The server {} reached addresses outside that it had not reached in the {} days before, nor "
      "since it is known ({}): {}. Servers do what they were set up for: ask what it is. What is "
      "right belongs into %Server_Destinations%.",
      Text(facts.server), facts.days,
      FormatTime(TimePoint(std::chrono::seconds(facts.known_since))), places));
  AddTags({"command-and-control", "exfiltration"}, {"T1071", "T1048"}, finding);
  finding.add_false_positives("Services whose addresses change, as content networks do");
  finding.add_false_positives("New software, and updates from elsewhere");
  SetSearch(EventsFilter(facts, kSearchedFor), archive::v1::RECEIVED, matter.last(), matter.last(),
            finding);
  if (facts.flows.size() > kSearchedFor) finding.mutable_search()->set_truncated(true);
  AddEvidence({facts.events.begin(), facts.events.end()}, finding);
  return outcome;
}

bool IsBeacon(const PeriodicFlow& flow, const BeaconLimits& limits) {
  const double median = flow.median_interval_seconds();
  const double span = SpanOf(flow);
  if (flow.call_count() < limits.calls || span < limits.hours * 3600) return false;
  if (!(median >= limits.interval_least && median <= limits.interval_most)) return false;
  const double jitter = flow.interval_deviation_seconds();
  if (!(jitter <= std::max(limits.jitter * median, limits.jitter_seconds))) return false;
  if (static_cast<double>(flow.call_count()) * median < limits.filled * span) return false;
  if (flow.median_bytes_out() == 0) return true;
  return flow.bytes_out_spread() <=
         std::max(limits.bytes * static_cast<double>(flow.median_bytes_out()), limits.bytes_least);
}

std::vector<Beacons> FindBeacons(const std::string& tenant, const std::vector<PeriodicFlow>& flows,
                                 const AddressSet& agreed, const BeaconLimits& limits) {
  std::map<std::tuple<std::string, uint32_t, std::string>, std::vector<PeriodicFlow>> places;
  for (const PeriodicFlow& flow : flows) {
    if (!IsBeacon(flow, limits) || !IsPublicAddress(flow.dst_ip()) ||
        agreed.Contains(flow.dst_ip())) {
      continue;
    }
    places[{flow.dst_ip(), flow.dst_port(), flow.protocol()}].push_back(flow);
  }
  std::vector<Beacons> found;
  for (auto& [place, callers] : places) {
    std::stable_sort(callers.begin(), callers.end(),
                     [](const PeriodicFlow& a, const PeriodicFlow& b) {
                       return std::tuple(a.site(), a.src_ip()) < std::tuple(b.site(), b.src_ip());
                     });
    if (callers.size() >= kManyHosts) {
      found.push_back({tenant, callers, true});
      continue;
    }
    for (const PeriodicFlow& caller : callers) found.push_back({tenant, {caller}, false});
  }
  return found;
}

std::string EventsFilter(const Beacons& beacons) {
  const PeriodicFlow& first = beacons.flows.front();
  if (beacons.many) {
    return fmt::format("dst.ip = {} AND dst.port = {}", Text(first.dst_ip()), first.dst_port());
  }
  return fmt::format("site = {} AND src.ip = {} AND dst.ip = {} AND dst.port = {}",
                     FilterValue(first.site()), Text(first.src_ip()), Text(first.dst_ip()),
                     first.dst_port());
}

std::string BeaconKey(const Beacons& beacons) {
  const PeriodicFlow& first = beacons.flows.front();
  const std::string port = fmt::format("{}/{}", first.dst_port(), first.protocol());
  if (beacons.many) return MatterKey({"beacons", first.dst_ip(), port});
  return MatterKey({"beacon", first.site(), first.src_ip(), first.dst_ip(), port});
}

Windows::Outcome BeaconOutcome(const Beacons& beacons, const internal::v1::OpenMatter& matter) {
  Windows::Outcome outcome = MatterOutcome(beacons.tenant, kBeaconRule, matter);
  const PeriodicFlow& first = beacons.flows.front();
  v1::Finding& finding = outcome.finding;
  const bool is_blocked = std::all_of(
      beacons.flows.begin(), beacons.flows.end(),
      [](const PeriodicFlow& flow) { return flow.blocked_count() >= flow.event_count(); });
  finding.set_title(beacons.many ? "Many hosts call one address outside at even intervals"
                                 : "A host calls an address outside at even intervals");
  finding.set_severity(beacons.many || is_blocked ? event::v1::LOW : event::v1::MEDIUM);
  finding.set_action(is_blocked ? event::v1::BLOCKED : event::v1::ALLOWED);
  finding.set_site(first.site());
  for (const PeriodicFlow& flow : beacons.flows) AddAddress(flow.src_ip(), "source", finding);
  AddAddress(first.dst_ip(), "target", finding);
  const std::string place = PlaceText(first.dst_ip(), first.dst_port(), first.protocol());
  const double jitter =
      first.median_interval_seconds() > 0
          ? 100 * first.interval_deviation_seconds() / first.median_interval_seconds()
          : 0;
  std::string words = fmt::format(
      "{} called {} {} times from {} to {}: every {}, and half of the calls within {:.1f} % of "
      "that",
      Text(first.src_ip()), place, first.call_count(), FormatTime(FromProto(first.first_time())),
      FormatTime(FromProto(first.last_time())), SpanText(first.median_interval_seconds()), jitter);
  if (first.median_bytes_out() > 0) {
    words +=
        fmt::format(", with {} out each (give or take {})",
                    AmountText(v1::UPLOADED_BYTES, static_cast<double>(first.median_bytes_out())),
                    AmountText(v1::UPLOADED_BYTES, first.bytes_out_spread()));
  }
  words += is_blocked ? "; none was let through." : ".";
  if (beacons.many) {
    words += fmt::format(" {} hosts do: it is something that they all run.", beacons.flows.size());
  }
  words +=
      " So do programs that ask their master for orders, and so do monitoring and licence checks: "
      "find out which program it is. What is right belongs into %Steady_Destinations%.";
  finding.set_description(std::move(words));
  AddMatched("src.ip", Text(first.src_ip()), finding);
  AddMatched("destination", place, finding);
  AddMatched("interval", SpanText(first.median_interval_seconds()), finding);
  AddMatched("jitter", fmt::format("{:.1f} %", jitter), finding);
  AddMatched("calls", fmt::format("{}", first.call_count()), finding);
  if (beacons.many) AddMatched("hosts", fmt::format("{}", beacons.flows.size()), finding);
  AddTags({"command-and-control"}, {"T1071", "T1029"}, finding);
  finding.add_false_positives("Monitoring, licence checks, updates and agents of the maker");
  SetSearch(EventsFilter(beacons), archive::v1::RECEIVED, matter.last() - kBeaconHours + 1,
            matter.last(), finding);
  AddEvidence({beacons.events.begin(), beacons.events.end()}, finding);
  return outcome;
}

}  // namespace yagura::detection
