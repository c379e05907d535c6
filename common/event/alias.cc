#include "common/event/alias.h"

#include <algorithm>
#include <array>

#include "common/event/core_table.h"

namespace yagura::event {
namespace {

struct Alias {
  std::string_view name;
  Core core;
};

// Sigma's taxonomy for firewall, proxy, DNS and antivirus logs, Windows field names that mean the
// same, ECS names and OCSF names. Sorted by name (checked below), for the binary search. Process
// fields of Windows have no typed column: rules reach them by their own names.
constexpr std::array kAliases{
    Alias{"AccountName", Core::kUser},
    Alias{"ComputerName", Core::kHost},
    Alias{"DestinationHostname", Core::kDstHost},
    Alias{"DestinationIp", Core::kDstIp},
    Alias{"DestinationPort", Core::kDstPort},
    Alias{"EventID", Core::kVendorEventId},
    Alias{"IpAddress", Core::kSrcIp},
    Alias{"IpPort", Core::kSrcPort},
    Alias{"Protocol", Core::kProtocol},
    Alias{"Signature", Core::kSignature},
    Alias{"SourceHostname", Core::kSrcHost},
    Alias{"SourceIp", Core::kSrcIp},
    Alias{"SourcePort", Core::kSrcPort},
    Alias{"TargetUserName", Core::kUser},
    Alias{"User", Core::kUser},
    Alias{"WorkstationName", Core::kSrcHost},
    Alias{"actor.user.name", Core::kUser},
    Alias{"c-ip", Core::kSrcIp},
    Alias{"c-uri", Core::kUrl},
    Alias{"c-username", Core::kUser},
    Alias{"connection_info.direction", Core::kDirection},
    Alias{"connection_info.protocol_name", Core::kProtocol},
    Alias{"cs-bytes", Core::kBytesOut},
    Alias{"cs-host", Core::kDstHost},
    Alias{"cs-username", Core::kUser},
    Alias{"destination.address", Core::kDstIp},
    Alias{"destination.bytes", Core::kBytesIn},
    Alias{"destination.domain", Core::kDstHost},
    Alias{"destination.geo.country_name", Core::kDstCountry},
    Alias{"destination.ip", Core::kDstIp},
    Alias{"destination.mac", Core::kDstMac},
    Alias{"destination.nat.ip", Core::kDstTranslatedIp},
    Alias{"destination.nat.port", Core::kDstTranslatedPort},
    Alias{"destination.packets", Core::kPacketsIn},
    Alias{"destination.port", Core::kDstPort},
    Alias{"dst_endpoint.hostname", Core::kDstHost},
    Alias{"dst_endpoint.interface_name", Core::kDstInterface},
    Alias{"dst_endpoint.ip", Core::kDstIp},
    Alias{"dst_endpoint.mac", Core::kDstMac},
    Alias{"dst_endpoint.port", Core::kDstPort},
    Alias{"dst_endpoint.zone", Core::kDstZone},
    Alias{"dst_ip", Core::kDstIp},
    Alias{"dst_port", Core::kDstPort},
    Alias{"event.code", Core::kVendorEventId},
    Alias{"event.duration", Core::kDuration},
    Alias{"finding_info.title", Core::kSignature},
    Alias{"finding_info.uid", Core::kSignatureId},
    Alias{"firewall_rule.uid", Core::kRule},
    Alias{"host.hostname", Core::kHost},
    Alias{"host.name", Core::kHost},
    Alias{"log.syslog.appname", Core::kProgram},
    Alias{"network.application", Core::kApp},
    Alias{"network.direction", Core::kDirection},
    Alias{"network.protocol", Core::kApp},
    Alias{"network.transport", Core::kProtocol},
    Alias{"observer.egress.interface.name", Core::kDstInterface},
    Alias{"observer.egress.zone", Core::kDstZone},
    Alias{"observer.hostname", Core::kHost},
    Alias{"observer.ingress.interface.name", Core::kSrcInterface},
    Alias{"observer.ingress.zone", Core::kSrcZone},
    Alias{"policy.uid", Core::kRule},
    Alias{"process.name", Core::kProgram},
    Alias{"proxy.src_ip", Core::kSrcIp},
    Alias{"r-dns", Core::kDstHost},
    Alias{"rule.id", Core::kRule},
    Alias{"s-ip", Core::kDstIp},
    Alias{"sc-bytes", Core::kBytesIn},
    Alias{"source.address", Core::kSrcIp},
    Alias{"source.bytes", Core::kBytesOut},
    Alias{"source.domain", Core::kSrcHost},
    Alias{"source.geo.country_name", Core::kSrcCountry},
    Alias{"source.ip", Core::kSrcIp},
    Alias{"source.mac", Core::kSrcMac},
    Alias{"source.nat.ip", Core::kSrcTranslatedIp},
    Alias{"source.nat.port", Core::kSrcTranslatedPort},
    Alias{"source.packets", Core::kPacketsOut},
    Alias{"source.port", Core::kSrcPort},
    Alias{"source.user.name", Core::kUser},
    Alias{"src_endpoint.hostname", Core::kSrcHost},
    Alias{"src_endpoint.interface_name", Core::kSrcInterface},
    Alias{"src_endpoint.ip", Core::kSrcIp},
    Alias{"src_endpoint.mac", Core::kSrcMac},
    Alias{"src_endpoint.port", Core::kSrcPort},
    Alias{"src_endpoint.zone", Core::kSrcZone},
    Alias{"src_ip", Core::kSrcIp},
    Alias{"src_port", Core::kSrcPort},
    Alias{"traffic.bytes_in", Core::kBytesIn},
    Alias{"traffic.bytes_out", Core::kBytesOut},
    Alias{"traffic.packets_in", Core::kPacketsIn},
    Alias{"traffic.packets_out", Core::kPacketsOut},
    Alias{"url.full", Core::kUrl},
    Alias{"url.original", Core::kUrl},
    Alias{"user.name", Core::kUser},
    Alias{"username", Core::kUser},
};
static_assert(std::is_sorted(kAliases.begin(), kAliases.end(),
                             [](const Alias& a, const Alias& b) { return a.name < b.name; }));

}  // namespace

std::string_view CoreName(Core column) { return RowOf(column).name; }

std::optional<Core> CoreByName(std::string_view name) {
  for (size_t i = 0; i < kCoreTable.size(); ++i) {
    if (kCoreTable[i].name == name) return static_cast<Core>(i + 1);
  }
  return std::nullopt;
}

std::vector<std::string_view> CoreNames() {
  std::vector<std::string_view> names;
  names.reserve(kCoreTable.size());
  for (const CoreRow& row : kCoreTable) names.push_back(row.name);
  return names;
}

std::optional<FieldPath> ResolveFilterName(std::string_view name) {
  constexpr std::string_view kOriginalPrefix = "fields.";
  if (name == "raw") return FieldPath{FieldPath::Kind::kRaw, {}, {}};
  if (name == "tenant") return FieldPath{FieldPath::Kind::kTenant, {}, {}};
  if (name == "id") return FieldPath{FieldPath::Kind::kId, {}, {}};
  if (const auto core = CoreByName(name)) return FieldPath{FieldPath::Kind::kCore, *core, {}};
  if (name.size() > kOriginalPrefix.size() && name.starts_with(kOriginalPrefix)) {
    return FieldPath{
        FieldPath::Kind::kOriginal, {}, std::string(name.substr(kOriginalPrefix.size()))};
  }
  return std::nullopt;
}

SigmaField ResolveSigmaName(std::string_view name) {
  SigmaField field{std::string(name), CoreByName(name)};
  if (field.core) return field;
  const auto found =
      std::lower_bound(kAliases.begin(), kAliases.end(), name,
                       [](const Alias& alias, std::string_view key) { return alias.name < key; });
  if (found != kAliases.end() && found->name == name) field.core = found->core;
  return field;
}

}  // namespace yagura::event
