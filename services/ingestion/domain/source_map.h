#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/event/event_view.h"
#include "common/text/text.h"
#include "services/ingestion/domain/charset.h"
#include "services/ingestion/domain/source_zone.h"

namespace yagura::directory::v1 {
class Source;
}

namespace yagura::ingestion {

class ParserCatalogue;

inline constexpr std::string_view kQuarantineTenant = "quarantine";

// Whose the lines of a sender are, and how to read them.
struct SourceTarget {
  std::string name;    // "tenants/{tenant}/sources/{source}"; empty: no source of the directory
  std::string tenant;  // id
  std::string site;    // id, or empty
  std::string device;  // id, or empty
  SourceZone zone;
  Charset charset = Charset::kUtf8;
  std::string parser;                     // empty: recognise
  std::chrono::seconds silence_limit{0};  // 0: none is set
};

// Who sent a line, as far as the transport tells.
struct Sender {
  std::string listener;  // "syslog_udp", "syslog_tls", "push", "https", "relay"
  event::IpAddress address;
  std::string credential;  // principal that pushed the line
  // What its client certificate is told by, the digest first; empty where it has shown none.
  std::vector<std::string> certificates;
  // Set: sources of this site alone are asked; a relay took the lines there.
  std::string site = {};

  // "192.0.2.1", or the credential.
  std::string origin() const { return address.empty() ? credential : address.ToString(); }
};

// The time zones that sources fall back to.
struct FallbackZones {
  std::map<std::string, std::string> by_site;    // "tenants/{tenant}/sites/{site}" -> IANA name
  std::map<std::string, std::string> by_tenant;  // tenant id -> IANA name
};

// Sites for which an API key may speak as a relay, both by name.
using RelaySites = std::map<std::string, std::set<std::string, std::less<>>, std::less<>>;

// The sources that lines of one sender can be mapped by, the most specific first. Shares ownership
// of the map that it came from.
class SenderSources {
 public:
  SenderSources() = default;
  // The source for a line of that device; nullptr where none fits. `only_tenant` (empty: any)
  // leaves the sources of other tenants out.
  const SourceTarget* Find(std::string_view serial, std::string_view virtual_context,
                           std::string_view only_tenant = {}) const;
  // The source before the line is read: the best one that asks for no serial and no context.
  const SourceTarget* BeforeReading(std::string_view only_tenant = {}) const;

 private:
  friend class SourceMap;
  struct Rule;
  std::shared_ptr<const void> owner_;
  StringMap<std::vector<const Rule*>> by_serial_;
  std::vector<const Rule*> others_;
};

// All sources of the directory, immutable. The most specific source wins: credential, then client
// certificate (its digest, then a name of it), then serial and virtual context, then the longest
// prefix, then listener; among equals the lower name.
class SourceMap : public std::enable_shared_from_this<SourceMap> {
 public:
  // Sources that are disabled, have no criterion, or cannot be understood are left out; `problems`
  // (may be null) says which and why. `relays`: nothing where nobody could be asked yet.
  static std::shared_ptr<const SourceMap> Build(const std::vector<directory::v1::Source>& sources,
                                                const FallbackZones& zones,
                                                std::vector<std::string>* problems,
                                                const ParserCatalogue* parsers = nullptr,
                                                std::optional<RelaySites> relays = RelaySites());
  // Without any source: everything is quarantine.
  static std::shared_ptr<const SourceMap> Empty();
  ~SourceMap();
  SenderSources ForSender(const Sender& sender) const;
  // Sources that know the sender by a name of its certificate, by their names: the same when the
  // certificate is renewed. Those that name the certificate itself, by its digest, are left out.
  std::vector<std::string> SourcesByCertificateName(const Sender& sender) const;
  // Tenants whose sources name a certificate of the sender; that of the most specific one first.
  std::vector<std::string> TenantsByCertificate(const Sender& sender) const;
  // For lines of a tenant without a source.
  SourceZone ZoneOf(std::string_view tenant) const;
  // "tenants/{tenant}/sites/{site}"
  bool HasSite(std::string_view name) const { return sites_.contains(name); }
  // False: which keys are relays' is not known yet, and MayRelay says so of none.
  bool KnowsRelays() const { return relays_.has_value(); }
  // Whether the key of that principal names the site as one of its relay.
  bool MayRelay(std::string_view principal, std::string_view site) const;
  size_t size() const { return rules_.size(); }
  // All sources that lines are mapped by.
  std::vector<const SourceTarget*> targets() const;

 private:
  SourceMap();
  std::vector<std::unique_ptr<SenderSources::Rule>> rules_;  // the most specific first
  StringMap<SourceZone> zones_;                              // by tenant
  StringSet sites_;                                          // names
  std::optional<RelaySites> relays_;
};

}  // namespace yagura::ingestion
