#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "services/detection/domain/observation/address_set.h"
#include "services/detection/domain/observation/matters.h"
#include "yagura/archive/v1/flow.pb.h"
#include "yagura/archive/v1/periodic_flow.pb.h"

// What Sigma cannot say of flows: a destination that a server has never reached before, and calls
// at even intervals.
namespace yagura::detection {

// A server's destinations of one hour that it had not reached before.
struct NewDestinations {
  std::string tenant;
  std::string site;
  std::string server;                     // 4 or 16 bytes
  std::vector<archive::v1::Flow> flows;   // by address and port, the most bytes first
  int64_t known_since = 0;                // seconds since 1970: the server's first flow
  int days = 0;                           // so far back was looked
  std::vector<v1::Evidence> events = {};  // some of these flows
};
// Events of the first of these flows, in the grammar of the archive.
std::string EventsFilter(const NewDestinations& facts, size_t most = 5);
// Of the flows that were first seen in an hour those that may be new destinations of servers: let
// through, outside, and not agreed.
std::vector<archive::v1::Flow> MayBeNew(const std::vector<archive::v1::Flow>& flows,
                                        const AddressSet& servers, const AddressSet& agreed);
std::string NewDestinationKey(const NewDestinations& facts);
Windows::Outcome NewDestinationOutcome(const NewDestinations& facts,
                                       const internal::v1::OpenMatter& matter);

struct BeaconLimits {
  uint64_t calls = 12;              // at least
  double hours = 6;                 // from first to last, at least
  double jitter = 0.15;             // median distance from the median interval, of that
  double jitter_seconds = 2;        // or so much, where that is more: clocks count whole seconds
  double interval_least = 20;       // seconds
  double interval_most = 4 * 3600;  // seconds
  double filled = 0.75;             // share of the time in which calls came
  double bytes = 0.2;               // half the distance of the quartiles, of the median
  double bytes_least = 64;          // or so many, where that is more
};
// Calls at intervals as even as a program's, over hours, with next to the same bytes each.
bool IsBeacon(const archive::v1::PeriodicFlow& flow, const BeaconLimits& limits);

// Beacons that are one matter: of one host to one place, or of many hosts to the same place.
struct Beacons {
  std::string tenant;
  std::vector<archive::v1::PeriodicFlow> flows;  // at least one, the most regular first
  bool many = false;                             // hosts
  std::vector<v1::Evidence> events = {};         // some of the calls
};
// Some of the calls, in the grammar of the archive.
std::string EventsFilter(const Beacons& beacons);
// Of the regular flows those that are beacons to outside and not agreed, put together. Five hosts
// and more that call one place as evenly are one matter: it is what they all run.
std::vector<Beacons> FindBeacons(const std::string& tenant,
                                 const std::vector<archive::v1::PeriodicFlow>& flows,
                                 const AddressSet& agreed, const BeaconLimits& limits);
std::string BeaconKey(const Beacons& beacons);
Windows::Outcome BeaconOutcome(const Beacons& beacons, const internal::v1::OpenMatter& matter);

}  // namespace yagura::detection
