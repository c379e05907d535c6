#include "services/archive/domain/investigation.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <utility>

#include "fmt/format.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/status/status.h"
#include "common/text/ascii.h"
#include "common/text/fold.h"
#include "common/text/text.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/domain/flow_table.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using eventstore::Query;
using eventstore::Row;

constexpr size_t kMostEntity = 256;

// As part of a value of a filter in quotes, with nothing left that means something there.
std::string Escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '*') out += '\\';
    out += c;
  }
  return out;
}

std::string Quoted(std::string_view text) { return '"' + Escaped(text) + '"'; }

// "CORP\alice" and "alice@corp.example" are alice.
std::string_view AccountOf(std::string_view user) {
  if (const size_t domain = user.rfind('\\'); domain != std::string_view::npos) {
    user.remove_prefix(domain + 1);
  }
  const size_t at = user.find('@');
  return at == std::string_view::npos || at == 0 ? user : user.substr(0, at);
}

// Without the dot of the root.
std::string_view FullName(std::string_view host) {
  return host.size() > 1 && host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
}

std::string_view ShortName(std::string_view host) { return host.substr(0, host.find('.')); }

// What could be no host: an account with its domain.
bool IsHostName(std::string_view text) {
  return text.find_first_of("\\@") == std::string_view::npos && !ShortName(text).empty();
}

bool IsAddress(const std::string& text) {
  std::array<char, 16> bytes{};
  return inet_pton(AF_INET, text.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
}

// "10.0.1.0/24", "10.0.1.1-10.0.1.9".
bool IsNetwork(const std::string& text) {
  const size_t at = text.find_first_of("/-");
  if (at == std::string::npos || !IsAddress(text.substr(0, at))) return false;
  const std::string rest = text.substr(at + 1);
  return text[at] == '-' ? IsAddress(rest) : ParseNumber<unsigned>(rest).has_value();
}

bool IsHash(std::string_view text) {
  return (text.size() == 32 || text.size() == 40 || text.size() == 64) && HexDecode(text);
}

std::string AddressFilter(const std::string& address) {
  return fmt::format(
      "(src.ip = {0} OR dst.ip = {0} OR src.translated_ip = {0} OR dst.translated_ip = {0})",
      address);
}

std::string UserFilter(std::string_view user) {
  const std::string account = Escaped(AccountOf(user));
  return fmt::format(R"((user =~ "{0}" OR user =~ "*\\{0}" OR user =~ "{0}@*"))", account);
}

std::string HostFilter(std::string_view host) {
  const std::string name = Escaped(FullName(host));
  const std::string other =
      ShortName(host) == FullName(host) ? name + ".*" : Escaped(ShortName(host));
  std::vector<std::string> parts;
  for (const char* path : {"src.host", "dst.host", "host"}) {
    parts.push_back(fmt::format(R"({0} =~ "{1}" OR {0} =~ "{2}")", path, name, other));
  }
  return fmt::format("({})", Join(parts, " OR "));
}

// In any case and width, as =~ compares.
bool SameName(std::string_view a, std::string_view b) {
  return EqualsIgnoreCase(a, b) || Fold(a) == Fold(b);
}

bool SameUser(std::string_view a, std::string_view b) {
  return SameName(AccountOf(a), AccountOf(b));
}

bool SameHost(std::string_view a, std::string_view b) {
  if (SameName(FullName(a), FullName(b))) return true;
  const bool one_is_short = ShortName(a) == FullName(a) || ShortName(b) == FullName(b);
  return one_is_short && SameName(ShortName(a), ShortName(b));
}

// When it happened, as far as its clock can be believed.
std::string HappenedSql() {
  return fmt::format("if(has(flaws, {}), receive_time, event_time)",
                     static_cast<int>(event::v1::CLOCK_ERROR));
}

// The first bits of a network that is not public.
struct Network {
  std::array<uint8_t, 16> bytes;
  size_t bits;
};

bool Within(std::string_view address, const Network& network) {
  for (size_t bit = 0; bit < network.bits; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    if ((static_cast<uint8_t>(address[bit / 8]) & mask) != (network.bytes[bit / 8] & mask)) {
      return false;
    }
  }
  return true;
}

constexpr std::array<Network, 13> kNotPublic4 = {{{{0}, 8},
                                                  {{10}, 8},
                                                  {{100, 64}, 10},
                                                  {{127}, 8},
                                                  {{169, 254}, 16},
                                                  {{172, 16}, 12},
                                                  {{192, 0, 0}, 24},
                                                  {{192, 168}, 16},
                                                  {{198, 18}, 15},
                                                  {{224}, 4},
                                                  {{240}, 4},
                                                  {{255}, 8},
                                                  {{192, 88, 99}, 24}}};
// All but global unicast, 2000::/3.
constexpr Network kGlobal6 = {{0x20}, 3};

}  // namespace

bool Subject::Names(std::string_view value) const {
  if (name.empty() || value.empty()) return false;
  switch (type) {
    case v1::INVESTIGATED_USER:
      return SameUser(name, value);
    case v1::INVESTIGATED_HOST:
      return SameHost(name, value);
    case v1::INVESTIGATED_NAME:
      return SameUser(name, value) || (IsHostName(name) && SameHost(name, value));
    default:
      return false;
  }
}

bool IsPublic(std::string_view address) {
  if (address.size() == 16) return Within(address, kGlobal6);
  return address.size() == 4 &&
         std::none_of(kNotPublic4.begin(), kNotPublic4.end(),
                      [address](const Network& network) { return Within(address, network); });
}

StatusOr<Subject> ParseSubject(const std::string& given, v1::InvestigatedType type) {
  if (given.empty() || given.size() > kMostEntity || !IsValidUtf8(given)) {
    return InvalidField("entity", "must be UTF-8 of 1 to 256 bytes");
  }
  // The signs of names keep their meaning in full width.
  const std::string entity = IsAscii(given) ? given : Fold(given);
  if (IsNetwork(entity)) {
    return InvalidField("entity", fmt::format("is a network: name one address of it, or search for "
                                              "the events of all with the filter src.ip = {}",
                                              entity));
  }
  if (!v1::InvestigatedType_IsValid(type)) return InvalidField("type", "is no value of it");
  if (type == v1::INVESTIGATED_TYPE_UNSPECIFIED) {
    type = IsAddress(entity) ? v1::INVESTIGATED_ADDRESS
           : IsHash(entity)  ? v1::INVESTIGATED_HASH
                             : v1::INVESTIGATED_NAME;
  }
  switch (type) {
    case v1::INVESTIGATED_ADDRESS:
      if (!IsAddress(entity)) return InvalidField("entity", "is no IP address");
      return Subject{type, entity, AddressFilter(entity), ""};
    case v1::INVESTIGATED_USER:
      if (AccountOf(entity).empty()) return InvalidField("entity", "names no account");
      return Subject{type, "", UserFilter(entity), entity};
    case v1::INVESTIGATED_HOST:
      if (!IsHostName(entity)) return InvalidField("entity", "is no host name");
      return Subject{type, "", HostFilter(entity), entity};
    case v1::INVESTIGATED_HASH:
      if (!IsHash(entity)) return InvalidField("entity", "is no MD5, SHA-1 or SHA-256 in hex");
      return Subject{type, "", Quoted(entity), ""};
    default:
      break;
  }
  if (AccountOf(entity).empty()) return InvalidField("entity", "is no name");
  if (!IsHostName(entity)) return Subject{type, "", UserFilter(entity), entity};
  return Subject{type, "", fmt::format("({} OR {})", UserFilter(entity), HostFilter(entity)),
                 entity};
}

StatusOr<Query> InvestigationQueries::Timeline(const Selection& selection, size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table_, &query));
  query.sql = fmt::format(
      "SELECT first, last, events, t, p, c, grave, a, s, d, dst_port, u, w, first_id, "
      "first_receive, sum(events) OVER () AS total FROM (SELECT min(event_time) AS first, "
      "max(event_time) AS last, count() AS events, toString(tenant) AS t, toString(product) AS p, "
      "toString(category) AS c, max(severity) AS grave, action AS a, src_ip AS s, dst_ip AS d, "
      "dst_port, toString(user) AS u, multiIf(signature != '', toString(signature), "
      "vendor_event_id != '', toString(vendor_event_id), toString(app)) AS w, argMin(id, "
      "(event_time, id)) AS first_id, argMin(receive_time, (event_time, id)) AS first_receive FROM "
      "yagura.events WHERE {} GROUP BY t, p, c, a, s, d, dst_port, u, w) ORDER BY grave DESC, "
      "first, "
      "first_id LIMIT {}",
      where, limit);
  return query;
}

v1::TimelineEntry InvestigationQueries::TimelineEntryOf(const Row& row) {
  v1::TimelineEntry entry;
  *entry.mutable_first_time() = ToProto(row.at(0).AsTime());
  *entry.mutable_last_time() = ToProto(row.at(1).AsTime());
  entry.set_event_count(row.at(2).AsUnsigned());
  entry.set_tenant(row.at(3).text);
  entry.set_product(ToValidUtf8(row.at(4).text));
  entry.set_category(ToValidUtf8(row.at(5).text));
  entry.set_severity(static_cast<event::v1::Severity>(row.at(6).AsUnsigned()));
  entry.set_action(static_cast<event::v1::Action>(row.at(7).AsUnsigned()));
  entry.set_src_ip(AddressBytes(row.at(8).text));
  entry.set_dst_ip(AddressBytes(row.at(9).text));
  entry.set_dst_port(static_cast<uint32_t>(row.at(10).AsUnsigned()));
  entry.set_user(ToValidUtf8(row.at(11).text));
  entry.set_what(ToValidUtf8(row.at(12).text));
  entry.set_event_id(row.at(13).text);
  *entry.mutable_receive_time() = ToProto(row.at(14).AsTime());
  return entry;
}

Query InvestigationQueries::PeersOfAddress(const auth::TenantSet& tenants, const TimeWindow& window,
                                           const std::string& address, size_t limit) {
  Query query;
  const auto day = [&query](const std::string& name, TimePoint time) {
    const auto days = std::chrono::floor<std::chrono::days>(time).time_since_epoch().count();
    query.parameters[name] = std::to_string(std::max<int64_t>(days, 0));
    return fmt::format("toDate({{{}:UInt16}})", name);
  };
  const std::string start = TimeSql("start", window.start, &query);
  query.parameters["address"] = address;
  const std::string first_day = day("first_day", window.start);
  const std::string last_day = day("last_day", window.end - std::chrono::nanoseconds(1));
  query.sql = fmt::format(
      "SELECT toString(tenant) AS t, toString(site) AS si, src_ip, dst_ip, toString(protocol) AS "
      "p, "
      "dst_port, verdict, sumIf(event_count, day >= {0}) AS events, sumIf(bytes_out, day >= {0}) "
      "AS "
      "o, sumIf(bytes_in, day >= {0}) AS i, min(first_time) AS first, max(last_time) AS last, "
      "first >= {1} AS is_new, src_ip = toIPv6({{address:String}}) AS outgoing FROM yagura.flows "
      "WHERE {2} AND (src_ip = toIPv6({{address:String}}) OR dst_ip = toIPv6({{address:String}})) "
      "AND day <= {3} GROUP BY t, si, src_ip, dst_ip, p, dst_port, verdict HAVING events > 0 ORDER "
      "BY is_new DESC, o + i DESC, events DESC, src_ip, dst_ip, dst_port LIMIT {4}",
      first_day, start, TenantSql(tenants, &query), last_day, limit);
  return query;
}

StatusOr<Query> InvestigationQueries::OtherPeersOfAddress(const Selection& selection,
                                                          const std::string& address,
                                                          size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table_, &query));
  query.parameters["address"] = address;
  const std::string late =
      TimeSql("late", std::chrono::ceil<std::chrono::days>(selection.window.end), &query);
  const std::string early =
      TimeSql("early", std::chrono::floor<std::chrono::days>(selection.window.start), &query);
  query.sql = fmt::format(
      "SELECT toString(tenant) AS t, toString(site) AS si, src_ip, dst_ip, toString(protocol) AS "
      "p, dst_port, {} AS verdict, count() AS events, sum({}) AS o, sum({}) AS i, "
      "min(receive_time), max(receive_time), 0, src_ip = toIPv6({{address:String}}) OR "
      "src_translated_ip = toIPv6({{address:String}}) AS outgoing FROM yagura.events WHERE {} AND "
      "src_ip != toIPv6('::') AND dst_ip != toIPv6('::') AND ((src_ip != "
      "toIPv6({{address:String}}) AND dst_ip != toIPv6({{address:String}})) OR receive_time >= {} "
      "OR receive_time < {}) GROUP BY t, si, src_ip, dst_ip, p, dst_port, verdict, outgoing ORDER "
      "BY o + i DESC, events DESC, src_ip, dst_ip, dst_port LIMIT {}",
      FlowVerdict(), FlowBytesOut(), FlowBytesIn(), where, late, early, limit);
  return query;
}

StatusOr<Query> InvestigationQueries::PeersOfEvents(const Selection& selection,
                                                    size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table_, &query));
  query.sql = fmt::format(
      "SELECT toString(tenant) AS t, toString(site) AS si, src_ip, dst_ip, toString(protocol) AS "
      "p, dst_port, {} AS verdict, count() AS events, sum({}) AS o, sum({}) AS i, "
      "min(receive_time), max(receive_time), 0, 1 FROM yagura.events WHERE {} AND src_ip != "
      "toIPv6('::') AND dst_ip != toIPv6('::') GROUP BY t, si, src_ip, dst_ip, p, dst_port, "
      "verdict ORDER BY o + i DESC, events DESC, src_ip, dst_ip, dst_port LIMIT {}",
      FlowVerdict(), FlowBytesOut(), FlowBytesIn(), where, limit);
  return query;
}

Query InvestigationQueries::FlowsKnownSince(const auth::TenantSet& tenants) {
  Query query;
  query.sql = fmt::format("SELECT min(first_time), count() FROM yagura.flows WHERE {}",
                          TenantSql(tenants, &query));
  return query;
}

Query InvestigationQueries::AnyEvent(const auth::TenantSet& tenants, const TimeWindow& window) {
  Query query;
  query.sql =
      fmt::format("SELECT 1 FROM yagura.events WHERE {} AND {} LIMIT 1", TenantSql(tenants, &query),
                  WindowSql({window.start, window.end}, &query));
  query.settings["max_threads"] = "1";
  query.settings["max_block_size"] = "8192";  // a granule
  return query;
}

Query InvestigationQueries::EventsKnownSince(const auth::TenantSet& tenants,
                                             const TimeWindow& window) {
  Query query;
  const std::string where = fmt::format("{} AND {}", TenantSql(tenants, &query),
                                        WindowSql({window.start, window.end}, &query));
  // A tenant's rows lie in this order.
  const bool in_order = !tenants.all && tenants.tenants.size() == 1;
  query.sql =
      fmt::format(fmt::runtime(in_order ? "SELECT receive_time FROM yagura.events WHERE {} "
                                          "ORDER BY receive_time LIMIT 1"
                                        : "SELECT min(receive_time) FROM yagura.events WHERE {} "
                                          "HAVING count() > 0"),
                  where);
  return query;
}

v1::Peer InvestigationQueries::PeerOf(const Row& row) {
  v1::Peer peer;
  v1::Flow& flow = *peer.mutable_flow();
  flow.set_tenant(row.at(0).text);
  flow.set_site(row.at(1).text);
  flow.set_src_ip(AddressBytes(row.at(2).text));
  flow.set_dst_ip(AddressBytes(row.at(3).text));
  flow.set_protocol(ToValidUtf8(row.at(4).text));
  flow.set_dst_port(static_cast<uint32_t>(row.at(5).AsUnsigned()));
  flow.set_verdict(static_cast<event::v1::Action>(row.at(6).AsUnsigned()));
  flow.set_event_count(row.at(7).AsUnsigned());
  flow.set_bytes_out(row.at(8).AsUnsigned());
  flow.set_bytes_in(row.at(9).AsUnsigned());
  *flow.mutable_first_time() = ToProto(row.at(10).AsTime());
  *flow.mutable_last_time() = ToProto(row.at(11).AsTime());
  flow.set_flow_count(1);
  peer.set_is_new(row.at(12).AsUnsigned() != 0);
  peer.set_outgoing(row.at(13).AsUnsigned() != 0);
  peer.set_outside(IsPublic(peer.outgoing() ? flow.dst_ip() : flow.src_ip()));
  return peer;
}

StatusOr<Query> InvestigationQueries::FirstSeen(const Selection& selection, TimePoint since,
                                                size_t limit) const {
  Query query;
  YAGURA_ASSIGN_OR_RETURN(const std::string where, WhereSql(selection, table_, &query));
  const std::string new_since = TimeSql("new_since", since, &query);
  query.sql = fmt::format(
      "SELECT fact.1 AS kind, fact.2 AS value, min(moment) AS first, max(moment), count(), first "
      ">= {} AS is_new FROM (SELECT {} AS moment, arrayJoin([('user', toString(user)), ('host', "
      "toString(src_host)), ('mac', toString(src_mac)), ('signature', toString(signature)), "
      "('product', toString(product)), ('app', toString(app))]) AS fact FROM yagura.events WHERE "
      "{}) WHERE value != '' GROUP BY kind, value ORDER BY is_new DESC, first, kind, value LIMIT "
      "{}",
      new_since, HappenedSql(), where, limit);
  return query;
}

void MergePeers(std::vector<v1::Peer> others, std::vector<v1::Peer>* peers) {
  const auto key = [](const v1::Peer& peer) {
    const v1::Flow& flow = peer.flow();
    return std::tuple(flow.tenant(), flow.site(), flow.src_ip(), flow.dst_ip(), flow.protocol(),
                      flow.dst_port(), static_cast<int>(flow.verdict()));
  };
  std::map<decltype(key(v1::Peer())), size_t> places;
  for (size_t i = 0; i < peers->size(); ++i) places.emplace(key((*peers)[i]), i);
  for (v1::Peer& other : others) {
    const auto [place, is_other] = places.try_emplace(key(other), peers->size());
    if (is_other) {
      peers->push_back(std::move(other));
      continue;
    }
    v1::Flow& flow = *(*peers)[place->second].mutable_flow();
    flow.set_event_count(flow.event_count() + other.flow().event_count());
    flow.set_bytes_out(flow.bytes_out() + other.flow().bytes_out());
    flow.set_bytes_in(flow.bytes_in() + other.flow().bytes_in());
    if (FromProto(other.flow().first_time()) < FromProto(flow.first_time())) {
      *flow.mutable_first_time() = other.flow().first_time();
    }
    if (FromProto(other.flow().last_time()) > FromProto(flow.last_time())) {
      *flow.mutable_last_time() = other.flow().last_time();
    }
  }
  std::stable_sort(peers->begin(), peers->end(), [](const v1::Peer& a, const v1::Peer& b) {
    const auto order = [](const v1::Peer& peer) {
      return std::tuple(peer.is_new(), peer.flow().bytes_out() + peer.flow().bytes_in(),
                        peer.flow().event_count());
    };
    return order(a) > order(b);
  });
}

}  // namespace yagura::archive
