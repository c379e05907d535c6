#include "services/archive/domain/trace.h"

#include <algorithm>
#include <set>
#include <vector>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/filter/filter.h"
#include "common/status/status.h"
#include "common/text/text.h"
#include "services/archive/domain/event_table.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using eventstore::Query;
using eventstore::Row;
using std::chrono::hours;
using std::chrono::nanoseconds;

constexpr std::chrono::minutes kUsualTolerance{5};
constexpr hours kMostTolerance{24};
constexpr hours kLongestSession{24};
constexpr hours kLeaseLookBack{7 * 24};
constexpr uint32_t kMostPort = 65'535;

// The usual text of an address, so that nothing else gets into the filter.
StatusOr<std::string> Address(std::string_view field, const std::string& text) {
  const auto address = event::IpAddress::Parse(text);
  if (!address) return InvalidField(field, "is no IP address");
  return address->ToString();
}

std::string Endpoint(std::string_view ip, const std::string& address, std::string_view port,
                     uint32_t number) {
  std::string out = fmt::format("{} = {}", ip, address);
  if (number != 0) out += fmt::format(" AND {} = {}", port, number);
  return out;
}

std::string Nanoseconds(TimePoint time) { return std::to_string(time.time_since_epoch().count()); }

std::string TextOf(const std::string& address_bytes) {
  return address_bytes.empty() ? "?" : event::IpAddress::FromBytes(address_bytes).ToString();
}

int64_t SecondsOf(nanoseconds duration) {
  return std::chrono::ceil<std::chrono::seconds>(duration).count();
}

}  // namespace

StatusOr<Trace> Trace::Parse(const v1::TraceEndpointRequest& request) {
  Trace trace;
  YAGURA_ASSIGN_OR_RETURN(trace.address_, Address("address", request.address()));
  if (!request.peer_address().empty()) {
    YAGURA_ASSIGN_OR_RETURN(trace.peer_address_, Address("peer_address", request.peer_address()));
  }
  if (request.port() > kMostPort) return InvalidField("port", "must be at most 65535");
  if (request.peer_port() > kMostPort) return InvalidField("peer_port", "must be at most 65535");
  trace.port_ = request.port();
  trace.peer_port_ = request.peer_port();
  if (!request.has_time()) return InvalidField("time", "must be set");
  trace.time_ = FromProto(request.time());
  trace.tolerance_ = request.has_clock_tolerance() ? FromProto(request.clock_tolerance())
                                                   : nanoseconds(kUsualTolerance);
  if (trace.tolerance_ < nanoseconds(0) || trace.tolerance_ > kMostTolerance) {
    return InvalidField("clock_tolerance", "must be 0 to 24 hours");
  }
  return trace;
}

TimeWindow Trace::Told() const {
  return {time_ - tolerance_, time_ + tolerance_ + kLongestSession, TimeBasis::kHappened};
}

TimeWindow Trace::Around() const {
  return {time_ - tolerance_ - hours(1), time_ + tolerance_ + hours(1)};
}

std::string Trace::Filter() const {
  std::string out_peer;
  std::string in_peer;
  if (!peer_address_.empty()) {
    out_peer = " AND " + Endpoint("dst.ip", peer_address_, "dst.port", peer_port_);
    in_peer = " AND " + Endpoint("src.ip", peer_address_, "src.port", peer_port_);
  } else if (peer_port_ != 0) {
    out_peer = fmt::format(" AND dst.port = {}", peer_port_);
    in_peer = fmt::format(" AND src.port = {}", peer_port_);
  }
  return fmt::format("((({}) OR ({})){}) OR ({} AND dst.translated_ip:*{})",
                     Endpoint("src.translated_ip", address_, "src.translated_port", port_),
                     Endpoint("src.ip", address_, "src.port", port_), out_peer,
                     Endpoint("dst.ip", address_, "dst.port", port_), in_peer);
}

StatusOr<Query> Trace::Candidates(const auth::TenantSet& tenants, const EventTable& table,
                                  TimePoint now, size_t limit) const {
  YAGURA_ASSIGN_OR_RETURN(filter::Filter parsed,
                          filter::Filter::Parse(Filter(), filter::EventSchema(), now));
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where,
                          WhereSql({tenants, Told(), std::move(parsed)}, table, &query));
  query.parameters["address"] = address_;
  query.parameters["reported"] = Nanoseconds(time_);
  query.parameters["earliest"] = Nanoseconds(time_ - tolerance_);
  query.parameters["latest"] = Nanoseconds(time_ + tolerance_);
  query.sql = fmt::format(
      "SELECT t, si, dv, inside, inside_port, peer, peer_port, p, anyIf(u, u != ''), translated, "
      "incoming, min(begin), max(end), count(), min(off) AS distance, argMin(id, off), "
      "argMin(receive_time, off) FROM (SELECT toString(tenant) AS t, toString(site) AS si, "
      "toString(device) AS dv, src_ip != toIPv6({{address:String}}) AND src_translated_ip != "
      "toIPv6({{address:String}}) AS incoming, if(incoming, dst_translated_ip, src_ip) AS inside, "
      "if(incoming, dst_translated_port, src_port) AS inside_port, if(incoming, src_ip, dst_ip) AS "
      "peer, if(incoming, src_port, dst_port) AS peer_port, toString(protocol) AS p, "
      "toString(user) AS u, incoming OR src_translated_ip = toIPv6({{address:String}}) AS "
      "translated, toUnixTimestamp64Nano(event_time) AS end, end - duration AS begin, "
      "greatest(toInt64(0), begin - {{reported:Int64}}, {{reported:Int64}} - end) AS off, id, "
      "receive_time FROM yagura.events WHERE {}) WHERE begin <= {{latest:Int64}} AND end >= "
      "{{earliest:Int64}} GROUP BY t, si, dv, inside, inside_port, peer, peer_port, p, translated, "
      "incoming ORDER BY distance, min(begin), t, si, inside LIMIT {}",
      where, limit);
  return query;
}

v1::TraceCandidate Trace::CandidateOf(const Row& row) {
  v1::TraceCandidate candidate;
  const auto time = [](const eventstore::Value& value) {
    return ToProto(TimePoint(nanoseconds(value.AsSigned())));
  };
  candidate.set_tenant(row.at(0).text);
  candidate.set_site(row.at(1).text);
  candidate.set_device(row.at(2).text);
  candidate.set_inside_ip(AddressBytes(row.at(3).text));
  candidate.set_inside_port(static_cast<uint32_t>(row.at(4).AsUnsigned()));
  candidate.set_peer_ip(AddressBytes(row.at(5).text));
  candidate.set_peer_port(static_cast<uint32_t>(row.at(6).AsUnsigned()));
  candidate.set_protocol(ToValidUtf8(row.at(7).text));
  candidate.set_user(ToValidUtf8(row.at(8).text));
  candidate.set_translated(row.at(9).AsUnsigned() != 0);
  candidate.set_incoming(row.at(10).AsUnsigned() != 0);
  *candidate.mutable_start_time() = time(row.at(11));
  *candidate.mutable_end_time() = time(row.at(12));
  candidate.set_event_count(row.at(13).AsUnsigned());
  *candidate.mutable_distance() = ToProtoDuration(nanoseconds(row.at(14).AsSigned()));
  candidate.set_event_id(row.at(15).text);
  *candidate.mutable_receive_time() = ToProto(row.at(16).AsTime());
  return candidate;
}

Query Trace::Terminals(const v1::TraceCandidate& candidate, size_t limit) const {
  Query query;
  query.parameters["tenant"] = candidate.tenant();
  query.parameters["site"] = candidate.site();
  query.parameters["inside"] = TextOf(candidate.inside_ip());
  const std::string window =
      WindowSql({time_ - kLeaseLookBack, time_ + tolerance_, TimeBasis::kEither}, &query);
  // Whose clock is wrong counts by its receipt; all others by when they happened, however late they
  // came.
  query.sql = fmt::format(
      "SELECT m, argMaxIf(h, moment, h != ''), min(moment), max(moment) AS last, count(), "
      "countIf(category = 'dhcp') AS leases FROM (SELECT toString(src_mac) AS m, "
      "toString(src_host) AS h, category, if(has(flaws, {}), receive_time, event_time) AS moment "
      "FROM yagura.events WHERE tenant = {{tenant:String}} AND {} AND site = {{site:String}} AND "
      "src_ip = toIPv6({{inside:String}}) AND src_mac != '' AND (category != 'dhcp' OR "
      "lower(vendor_event_id) = 'dhcpack')) WHERE moment >= fromUnixTimestamp64Nano("
      "{{window_start:Int64}}, 'UTC') AND moment < fromUnixTimestamp64Nano({{window_end:Int64}}, "
      "'UTC') GROUP BY m "
      // Behind a router all traffic has the router's own address.
      "ORDER BY leases > 0 DESC, last DESC, m "
      "LIMIT {}",
      static_cast<int>(event::v1::CLOCK_ERROR), window, limit);
  return query;
}

v1::Terminal Trace::TerminalOf(const Row& row) {
  v1::Terminal terminal;
  terminal.set_mac(ToValidUtf8(row.at(0).text));
  terminal.set_host(ToValidUtf8(row.at(1).text));
  *terminal.mutable_first_time() = ToProto(row.at(2).AsTime());
  *terminal.mutable_last_time() = ToProto(row.at(3).AsTime());
  terminal.set_event_count(row.at(4).AsUnsigned());
  terminal.set_lease_count(row.at(5).AsUnsigned());
  return terminal;
}

void Trace::Remark(v1::TraceEndpointResponse* response) const {
  const auto remark = [response](std::string text) { response->add_remarks(std::move(text)); };
  const auto& candidates = response->candidates();
  if (candidates.empty()) {
    remark(fmt::format("no event that was received names this endpoint within {} s of the time",
                       SecondsOf(tolerance_)));
  }
  std::set<std::string> inside;
  for (const auto& candidate : candidates) {
    inside.insert(candidate.tenant() + "/" + candidate.site() + "/" + candidate.inside_ip());
  }
  if (inside.size() > 1) {
    remark(
        fmt::format("{} inside addresses had the endpoint within {} s of the time; the "
                    "reporter's exact time, port or destination would tell them apart",
                    inside.size(), SecondsOf(tolerance_)));
  }
  if (port_ == 0) remark("without a port, every session through the address is a candidate");
  if (!candidates.empty()) {
    const nanoseconds nearest = FromProto(candidates[0].distance());
    if (nearest > nanoseconds(0)) {
      remark(fmt::format("no session covers the reported time; the nearest lies {} s from it",
                         SecondsOf(nearest)));
    }
    const auto& terminals = candidates[0].terminals();
    const std::string address = TextOf(candidates[0].inside_ip());
    if (terminals.empty()) {
      remark(fmt::format("no event of the 7 days before tells which machine had {}", address));
    } else if (terminals.size() > 1) {
      remark(fmt::format(
          "{} machines had {} in the 7 days before: leases before others, then the latest",
          terminals.size(), address));
    } else if (terminals[0].lease_count() == 0) {
      remark(fmt::format("no DHCP lease of {} was received; the machine is what other events say",
                         address));
    }
  }
}

}  // namespace yagura::archive
