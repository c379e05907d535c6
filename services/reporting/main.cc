#include "common/rpc/run_service.h"
#include "services/reporting/app.h"
#include "services/reporting/settings.h"

int main(int argc, char** argv) {
  using yagura::rpc::Platform;
  return yagura::rpc::RunService(
      argc, argv, "reporting", [](yagura::config::SettingsReader& reader) -> yagura::rpc::MakeApp {
        const auto settings = yagura::reporting::ReadSettings(reader);
        return [settings](
                   const Platform& platform) -> absl::StatusOr<std::unique_ptr<yagura::rpc::App>> {
          if (!settings.ok()) return settings.status();
          return yagura::reporting::NewApp(*settings, platform);
        };
      });
}
