#include "common/rpc/run_service.h"
#include "services/detection/app.h"

int main(int argc, char** argv) {
  using namespace yagura;  // NOLINT(google-build-using-namespace)
  return rpc::RunService(argc, argv, "detection", [](config::SettingsReader& reader) {
    return [settings = detection::Settings::Read(reader)](
               const rpc::Platform& platform) -> absl::StatusOr<std::unique_ptr<rpc::App>> {
      return detection::MakeApp(platform, settings);
    };
  });
}
