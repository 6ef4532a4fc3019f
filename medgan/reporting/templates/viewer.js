"use strict";
// Opens every viewer of the page. The images are in the page; nothing is fetched.
(() => {
  const SIGNED = { R: [155, 31, 0, 224, 255], G: [231, 127, 0, 96, 224], B: [255, 224, 0, 31, 138],
    A: [255, 255, 255, 255, 255], I: [0, 64, 128, 192, 255] };
  const round = (value) => Math.abs(value) < 10 ? Number(value.toFixed(2)) : Math.round(value);

  const open = async (host) => {
    const state = (text) => { host.dataset.state = text; };
    const says = host.querySelector(".viewer-location");
    if (!document.createElement("canvas").getContext("webgl2")) {
      says.textContent = "This browser shows no WebGL 2: see the figures instead.";
      state("unavailable");
      return;
    }
    const images = JSON.parse(host.querySelector("script").textContent);
    const viewer = new niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [1, 0.69, 0, 0.7], crosshairWidth: 0.8, isRadiologicalConvention: true, logLevel: "error",
      show3Dcrosshair: true, sagittalNoseLeft: true, isColorbar: true, dragAndDropEnabled: false,
      // A rendering says nothing about HU, and costs seconds where no graphics card helps.
      multiplanarShowRender: niivue.SHOW_RENDER.NEVER, loadingText: "",
    });
    viewer.addColormap("signed", SIGNED);
    viewer.onLocationChange = (location) => {
      const values = location.values.map((one, n) => `${images[n].name} ${round(one.value)} ${images[n].unit}`.trim());
      const at = Array.from(location.mm).slice(0, 3).map((mm) => Math.round(mm));
      says.textContent = `${values.join(" · ")} at (${at.join(", ")}) mm, RAS`;
    };
    await viewer.attachToCanvas(host.querySelector("canvas"));
    viewer.setSliceType(viewer.sliceTypeMultiplanar);
    viewer.setMultiplanarLayout(3);  // in a row
    for (const [n, image] of images.entries()) {
      const volume = await niivue.NVImage.loadFromBase64({
        base64: image.base64, name: `${image.name}.nii.gz`, colormap: image.colormap, opacity: n === 0 ? 1 : 0,
        cal_min: image.low, cal_max: image.high,
      });
      volume.colorbarVisible = n === 0;
      viewer.addVolume(volume);
    }
    const buttons = host.querySelectorAll("button");
    const show = (chosen) => {
      buttons.forEach((button, n) => {
        button.setAttribute("aria-pressed", String(n === chosen));
        viewer.volumes[n].colorbarVisible = n === chosen;
      });
      images.forEach((_, n) => viewer.setOpacity(n, n === chosen ? 1 : 0));
    };
    buttons.forEach((button, n) => button.addEventListener("click", () => show(n)));
    show(0);
    viewer.scene.crosshairPos = [0.5, 0.5, 0.5];
    viewer.drawScene();
    viewer.createOnLocationChange();
    state("ready");
  };

  for (const host of document.querySelectorAll("section.viewer")) {
    open(host).catch((error) => {
      host.dataset.state = "failed";
      host.querySelector(".viewer-location").textContent = "The viewer did not start: see the figures instead.";
      console.error(error);
    });
  }
})();
