#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/eventstore/client.h"
#include "services/archive/domain/selection.h"
#include "yagura/archive/v1/investigation.pb.h"

namespace yagura::archive {

// What is asked about, and the events it is made of in the grammar of all filters.
struct Subject {
  v1::InvestigatedType type = v1::INVESTIGATED_TYPE_UNSPECIFIED;
  std::string address;  // as text, of an address
  std::string filter;
  std::string name;  // as asked for, of a user or a host
  // The value is a spelling of the user or host.
  bool Names(std::string_view value) const;
};
// INVALID_ARGUMENT where it cannot be of that type.
absl::StatusOr<Subject> ParseSubject(const std::string& entity, v1::InvestigatedType type);

// The questions of an investigation as SQL over the tables of events and flows, and their rows.
class InvestigationQueries {
 public:
  explicit InvestigationQueries(const EventTable& table) : table_(table) {}

  // Rows: a timeline entry's columns, all events, all entries; the gravest first.
  absl::StatusOr<eventstore::Query> Timeline(const Selection& selection, size_t limit) const;
  static v1::TimelineEntry TimelineEntryOf(const eventstore::Row& row);
  static uint64_t EventsOf(const eventstore::Row& row) {
    return row.at(row.size() - 1).AsUnsigned();
  }

  // Of an address, from the flows that are kept; the window says which sums count.
  static eventstore::Query PeersOfAddress(const auth::TenantSet& tenants, const TimeWindow& window,
                                          const std::string& address, size_t limit);
  // Of an address, from the events that the flows of the window's days do not have under it: those
  // that name it as a translated address, and those that came later. Never new.
  absl::StatusOr<eventstore::Query> OtherPeersOfAddress(const Selection& selection,
                                                        const std::string& address,
                                                        size_t limit) const;
  // Of anything else, from its events.
  absl::StatusOr<eventstore::Query> PeersOfEvents(const Selection& selection, size_t limit) const;
  // One row: the first receive time of the flows that are kept, and how many rows there are.
  static eventstore::Query FlowsKnownSince(const auth::TenantSet& tenants);
  static v1::Peer PeerOf(const eventstore::Row& row);

  // One row where any event was received in the window, else none. Reads no more than it must to
  // say so.
  static eventstore::Query AnyEvent(const auth::TenantSet& tenants, const TimeWindow& window);
  // One row: the first receive time of events in the window; none where there are none. Of one
  // tenant from the beginning of its parts, of several from all rows.
  static eventstore::Query EventsKnownSince(const auth::TenantSet& tenants,
                                            const TimeWindow& window);
  // Rows: kind, value, first, last, count; what began after `since` first.
  absl::StatusOr<eventstore::Query> FirstSeen(const Selection& selection, TimePoint since,
                                              size_t limit) const;

 private:
  const EventTable& table_;
};

// Adds the second peers to the first, sums together where they are of the same flow; those that are
// new first, then by bytes.
void MergePeers(std::vector<v1::Peer> others, std::vector<v1::Peer>* peers);

// An address that is routed in the internet: not private, shared, local, multicast or reserved.
bool IsPublic(std::string_view address_bytes);

}  // namespace yagura::archive
