#pragma once

#include <memory>

#include "services/detection/workers/observation_data.h"

namespace grpc {
class ClientContext;
}

namespace yagura::rpc {
class Call;
class Channels;
}  // namespace yagura::rpc

namespace yagura::detection {

// Asks archive, config and directory over gRPC. Thread-safe.
class ObservationReader final : public ObservationData {
 public:
  // As the service itself.
  explicit ObservationReader(std::shared_ptr<rpc::Channels> channels)
      : channels_(std::move(channels)) {}
  // With the rights and the deadline of a call, which must outlive the object.
  ObservationReader(std::shared_ptr<rpc::Channels> channels, const rpc::Call& call)
      : channels_(std::move(channels)), call_(&call) {}

  absl::StatusOr<Zones> ZonesOf(const std::string& tenant) const override;
  absl::Status ReadHours(const std::string& tenant, const std::vector<HourRange>& ranges,
                         const std::string& device, ObservedHours* hours) const override;
  absl::StatusOr<std::vector<v1::Contributor>> Contributors(const std::string& tenant,
                                                            const DeviceKey& device,
                                                            const MeasureFacts& measure,
                                                            int64_t hour) const override;
  absl::StatusOr<std::vector<v1::Evidence>> EventsOf(const std::string& tenant,
                                                     const EventsQuestion& question) const override;
  absl::StatusOr<std::vector<v1::KnownCause>> Causes(const std::string& tenant,
                                                     const std::string& device, TimePoint start,
                                                     TimePoint end) const override;
  absl::StatusOr<std::vector<archive::v1::Flow>> Flows(
      const std::string& tenant, const archive::v1::ListFlowsRequest& request) const override;
  absl::StatusOr<std::vector<archive::v1::PeriodicFlow>> PeriodicFlows(
      const std::string& tenant,
      const archive::v1::ListPeriodicFlowsRequest& request) const override;

 private:
  void Prepare(const std::string& tenant, grpc::ClientContext& context) const;
  template <typename Service, typename Request, typename Response>
  absl::Status Ask(std::string_view service, const std::string& tenant, const Request& request,
                   Response* response) const;

  const std::shared_ptr<rpc::Channels> channels_;
  const rpc::Call* const call_ = nullptr;
};

}  // namespace yagura::detection
